package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// namespaces skips a test of what ModePlain cannot give.
func namespaces(t *testing.T) {
	t.Helper()
	if box(t).Mode() == ModePlain {
		t.Skip("no namespaces in this mode")
	}
}

func TestIsolation(t *testing.T) {
	namespaces(t)
	host, _ := os.Hostname()
	tests := []struct{ name, script, want string }{
		{"host name", "hostname", "localhost"},
		{"only a loopback device", "ls /sys/class/net; ip -o link | wc -l", "lo\n1"},
		{"loopback is up", "ip -o link | grep -c LOOPBACK,UP", "1"},
		{"process 1 is ours, and few others are seen", "tr '\\0' ' ' </proc/1/cmdline; set -- /proc/[0-9]*; echo $#", stageInit + " 2"}, // and the shell,
		{"sys is read-only", "mkdir /sys/x 2>/dev/null; grep ' /sys ' /proc/mounts | grep -c 'ro,'", "1"},
		{"kernel settings are read-only", "(echo x >/proc/sys/kernel/hostname) 2>/dev/null || hostname", "localhost"},
		{"no sysrq", "(echo h >/proc/sysrq-trigger) 2>/dev/null || echo no", "no"},
		{"devices", "ls /dev", "fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero"},
		{"devices work", "echo x >/dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; (echo x >/dev/full) 2>/dev/null || echo full", "3\n3\nfull"},
		{"links to what is open", "echo a | cat /dev/stdin; echo b >/dev/stderr; echo c | cat /dev/fd/0", "a\nb\nc"},
		{"private tmp", "ls -A /tmp; stat -c %a /tmp /dev/shm", "1777\n1777"},
		{"the root has no parent", "ls -di /.. / | tr -s ' ' | { read a b; read c d; [ $a = $c ] && echo same; }", "same"},
		{"ids", "id -u; id -g; id -G", "0\n0\n0"},
		{"chown and setuid files", "touch /f; chown 33:33 /f; stat -c %u:%g /f; chown 65534 /f; stat -c %u /f; rm /f", "33:33\n65534"},
		{"no mounting", "mount -t tmpfs none /var 2>/dev/null || echo no", "no"},
		{"no controlling terminal", "(: </dev/tty) 2>/dev/null || echo no", "no"},
		{"umask and limits", "umask; ulimit -n", "0022\n1024"},
		{"new privileges are allowed", "grep -c 'NoNewPrivs:.0' /proc/self/status", "1"},
		{"no host descriptors", "ls /proc/self/fd | wc -l", "4"}, // 0, 1, 2 and the directory
	}
	s := open(t, newRoot(t), Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := sh(t, s, tt.script); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if h, _ := os.Hostname(); h != host {
		t.Errorf("the host's name is %q now", h)
	}
}

func TestSyncIsFree(t *testing.T) {
	namespaces(t)
	s := open(t, newRoot(t), Options{})
	if got := sh(t, s, "helper fsync; sync"); got != "free" {
		t.Errorf("got %q", got)
	}
	s = open(t, newRoot(t), Options{Sync: true})
	if err := s.Run(t.Context(), Command{Args: []string{"helper", "fsync"}}); err == nil {
		t.Error("with Sync the kernel should have been asked")
	}
}

func TestDeviceNodesInTree(t *testing.T) {
	if os.Getenv(rootEnv) != "" || box(t).Mode() != ModeRoot {
		t.Skip("only real root makes device nodes")
	}
	s := open(t, newRoot(t), Options{})
	// dpkg must be able to make them; nobody needs to use them.
	if got := sh(t, s, "mknod /etc/null c 1 3; stat -c %F /etc/null; (cat </etc/null) 2>/dev/null || echo closed"); got != "character special file\nclosed" {
		t.Errorf("got %q", got)
	}
}

func TestCommandsOwnNamespaces(t *testing.T) {
	namespaces(t)
	s := open(t, newRoot(t), Options{Hostname: "builder"})
	run := func(c Command, script string) string {
		t.Helper()
		var out bytes.Buffer
		c.Args, c.Stdout = []string{"sh", "-c", script}, &out
		if err := s.Run(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out.String())
	}
	if got := run(Command{Hostname: "other"}, "hostname"); got != "other" {
		t.Errorf("host name: %q", got)
	}
	if got := sh(t, s, "hostname"); got != "builder" {
		t.Errorf("host name of the session: %q", got)
	}
	host, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	const network = "readlink /proc/self/ns/net"
	if got := run(Command{Network: true}, network); got != host {
		t.Errorf("with the network: %s, the host's is %s", got, host)
	}
	if got := run(Command{}, "wc -l </proc/net/dev"); got != "3" {
		t.Errorf("without: %s", got)
	}
	online := open(t, newRoot(t), Options{Network: true})
	if got := sh(t, online, network+"; ls /sys | wc -l"); !strings.HasPrefix(got, host+"\n") || strings.HasSuffix(got, "\n0") {
		t.Errorf("a session with the network: %s", got)
	}
}

func snapshot(t *testing.T, dir string) string {
	t.Helper()
	s, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// list describes a tree with all that a build would ship of it.
func list(dir string) (string, error) {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		fmt.Fprintf(&b, "%s %o %d:%d %d %d.%d\n", rel, st.Mode, st.Uid, st.Gid, st.Ino, st.Mtim.Sec, st.Mtim.Nsec)
		if d.Type().IsRegular() && st.Size < 1000 {
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "  %q\n", data)
		}
		return nil
	})
	return b.String(), err
}

func TestBindsLeaveTheTreeUntouched(t *testing.T) {
	root := newRoot(t)
	write(t, filepath.Join(root, "etc/existing"), "tree's own\n")
	if err := os.Symlink("../run/deep/resolv.conf", filepath.Join(root, "etc/resolv.conf")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(root, "var/etc")); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(root, "sys")) // before base-files is unpacked
	before := snapshot(t, root)
	source := filepath.Join(t.TempDir(), "file")
	write(t, source, "from the host\n")
	binds := []Bind{
		{Data: []byte("#!/bin/sh\nexit 101\n"), Mode: 0o755, Target: "/usr/sbin/policy-rc.d"},
		{Source: source, Target: "/etc/existing", ReadOnly: true},
		{Data: []byte("nameserver 192.0.2.1\n"), Target: "/etc/resolv.conf"},
		{Data: []byte("link\n"), Target: "/var/etc/new"},
	}
	script := "/usr/sbin/policy-rc.d; echo $?; cat /etc/existing /run/deep/resolv.conf /etc/new; stat -c %a:%u /usr/sbin/policy-rc.d"
	want := "101\nfrom the host\nnameserver 192.0.2.1\nlink\n755:0"
	t.Run("session", func(t *testing.T) {
		s := open(t, root, Options{Binds: binds})
		if got := sh(t, s, script); got != want {
			t.Errorf("got %q", got)
		}
		if box(t).Mode() != ModePlain {
			if got := sh(t, s, "(echo x >/etc/existing) 2>/dev/null || echo read-only"); got != "read-only" {
				t.Errorf("got %q", got)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if after := snapshot(t, root); after != before {
			t.Errorf("before\n%s\nafter\n%s", before, after)
		}
	})
	t.Run("command", func(t *testing.T) {
		s := open(t, root, Options{})
		var out bytes.Buffer
		if err := s.Run(t.Context(), Command{Args: []string{"sh", "-c", script}, Binds: binds, Stdout: &out}); err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(out.String()) != want {
			t.Errorf("got %q", out.String())
		}
		if got := sh(t, s, "cat /etc/existing; ls /etc /run /var; ls /usr 2>/dev/null || true"); got != "tree's own\nexisting\npasswd\nresolv.conf\n/run:\n\n/var:\netc" && !strings.HasPrefix(got, "tree's own\n/etc:\nexisting\npasswd\nresolv.conf\n") {
			t.Errorf("left: %q", got)
		}
		s.Close()
		if after := snapshot(t, root); after != before {
			t.Errorf("before\n%s\nafter\n%s", before, after)
		}
	})
	t.Run("a failing bind", func(t *testing.T) {
		bad := append(binds[:len(binds):len(binds)], Bind{Data: []byte("x"), Target: "/etc"})
		if s, err := box(t).Open(t.Context(), Root{Dir: root}, Options{Binds: bad}); err == nil {
			s.Close()
			t.Error("a file over a directory should fail")
		}
		s := open(t, root, Options{})
		if err := s.Run(t.Context(), Command{Args: []string{"true"}, Binds: bad}); err == nil {
			t.Error("a file over a directory should fail")
		}
		s.Close()
		if after := snapshot(t, root); after != before {
			t.Errorf("before\n%s\nafter\n%s", before, after)
		}
	})
	t.Run("what a script writes stays", func(t *testing.T) {
		s := open(t, root, Options{Binds: binds[:1]})
		sh(t, s, "echo kept >/usr/sbin/other")
		s.Close()
		if _, err := os.Stat(filepath.Join(root, "usr/sbin/other")); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(root, "usr/sbin/policy-rc.d")); err == nil {
			t.Error("policy-rc.d stayed too")
		}
	})
}

// TestLinksCannotLeadOut mounts over links that point outside of the tree.
func TestLinksCannotLeadOut(t *testing.T) {
	root, outside := newRoot(t), t.TempDir()
	for _, name := range []string{"proc", "tmp"} {
		os.Remove(filepath.Join(root, name))
		if err := os.Symlink(outside, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := box(t).Open(t.Context(), Root{Dir: root}, Options{Binds: []Bind{{Data: []byte("x"), Target: "/tmp/x/y"}}})
	if err == nil {
		s.Close()
	}
	if names, _ := os.ReadDir(outside); len(names) != 0 {
		t.Errorf("outside of the root: %v", names)
	}
}

// marked counts the processes on the host whose command line has mark in it.
func marked(mark string) (n int) {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range names {
		if data, err := os.ReadFile(name); err == nil && bytes.Contains(data, []byte(mark)) {
			n++
		}
	}
	return n
}

// patience ends waits for what comes soon unless the machine is busy.
const patience = 3 * time.Minute

// eventually waits until ok returns true; false means that it never did.
func eventually(ok func() bool) bool {
	for start := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > patience {
			return false
		}
	}
	return true
}

// waitMarked waits until n processes have the mark.
func waitMarked(t *testing.T, mark string, n int) {
	t.Helper()
	if !eventually(func() bool { return marked(mark) == n }) {
		t.Fatalf("%d processes have %s in their command line, want %d", marked(mark), mark, n)
	}
}

// mountsBelow lists the mounts that this process sees below a folder. Others
// of the machine come and go.
func mountsBelow(t *testing.T, dir string) []string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, " "+dir) {
			out = append(out, line)
		}
	}
	return out
}

func TestDaemonsDie(t *testing.T) {
	s := open(t, newRoot(t), Options{})
	mark := fmt.Sprintf("daemon-%d-%d", os.Getpid(), time.Now().UnixNano())
	sh(t, s, "helper daemon "+mark)
	waitMarked(t, mark, 1)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	waitMarked(t, mark, 0)
}

func TestCancelKillsAll(t *testing.T) {
	root := newRoot(t)
	before := snapshot(t, root)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := box(t).Open(ctx, Root{Dir: root}, Options{Binds: []Bind{{Data: []byte("x"), Target: "/a/b/c"}}})
	if err != nil {
		t.Fatal(err)
	}
	mark := fmt.Sprintf("cancel-%d-%d", os.Getpid(), time.Now().UnixNano())
	done := make(chan error)
	go func() {
		done <- s.Run(ctx, Command{Args: []string{"sh", "-c", "helper daemon " + mark + "; exec helper stay " + mark}})
	}()
	waitMarked(t, mark, 2)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	waitMarked(t, mark, 0)
	if after := snapshot(t, root); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if left := mountsBelow(t, root); len(left) > 0 {
		t.Errorf("mounts are left: %v", left)
	}
}

func TestCancelOneCommand(t *testing.T) {
	s := open(t, newRoot(t), Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	mark := fmt.Sprintf("one-%d-%d", os.Getpid(), time.Now().UnixNano())
	err := s.Run(ctx, Command{Args: []string{"sh", "-c", "(setsid helper stay " + mark + " &) ; helper stay " + mark}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	waitMarked(t, mark, 0) // the one in the background too
	sh(t, s, "true")
}

func TestKillBuilder(t *testing.T) {
	sb := box(t)
	root := newRoot(t)
	before := snapshot(t, root)
	mark := fmt.Sprintf("orphan-%d-%d", os.Getpid(), time.Now().UnixNano())
	cmd := self("victim", root, mark)
	cmd.Env = append(cmd.Env, modeEnv+"="+string(sb.Mode()))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	waitMarked(t, mark+"-inside", 2)
	cmd.Process.Kill()
	cmd.Wait()
	waitMarked(t, mark, 0)
	after := ""
	if !eventually(func() bool { // its init cleans up in its own time
		after, _ = list(root)
		return after == before
	}) {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}
