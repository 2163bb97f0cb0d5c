package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloudy/builder/fail"

	"golang.org/x/sys/unix"
)

// programEnv makes this binary another program; see program.
const programEnv = "SANDBOX_TEST_PROGRAM"

func self(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), programEnv+"="+name)
	return cmd
}

func program(name string, args []string) int {
	switch name {
	case "victim": // a builder that works until it is killed
		sb, err := Enter(context.Background(), EnterOptions{Mode: Mode(os.Getenv(modeEnv))})
		if err != nil {
			fmt.Println(err)
			return 1
		}
		s, err := sb.Open(context.Background(), Root{Dir: args[0]}, Options{Binds: []Bind{{Data: []byte("x"), Target: "/a/b/c"}}})
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println(s.Run(context.Background(), Command{Args: []string{"sh", "-c", "helper daemon " + args[1] + "-inside; exec helper stay " + args[1] + "-inside"}}))
	case "wait": // for a signal
		if _, err := Enter(context.Background(), EnterOptions{}); err != nil {
			fmt.Println("error:", err)
			return 4
		}
		caught := make(chan os.Signal, 1)
		signal.Notify(caught, unix.SIGTERM, unix.SIGINT)
		fmt.Println("ready")
		fmt.Println(<-caught)
		select {
		case sig := <-caught:
			fmt.Println("again", sig)
		case <-time.After(300 * time.Millisecond):
		}
		return 7
	case "enter": // says what it became, and with what it was started
		sb, err := Enter(context.Background(), EnterOptions{Mode: Mode(os.Getenv(modeEnv))})
		if err != nil {
			fmt.Printf("%v: %v\nhint: %s\n", fail.KindOf(err).ExitCode(), err, fail.HintOf(err))
			return 4
		}
		fmt.Println(sb.Mode(), os.Geteuid(), strings.Join(args, ","))
		if len(args) > 0 && args[0] == "die" {
			unix.Kill(os.Getpid(), unix.SIGTERM)
		}
		return 42
	}
	return 1
}

const testUser = "cloudysandbox"

// ordinaryUser makes a user with subordinate ids for the test.
func ordinaryUser(t *testing.T) {
	t.Helper()
	need(t, os.Getuid() == 0 && os.Getenv(rootEnv) == "" && os.Getenv(enteredVar) != "", "making a user needs real root")
	for _, tool := range []string{"useradd", "userdel", "setpriv", "newuidmap"} {
		_, err := exec.LookPath(tool)
		need(t, err == nil, tool+" is not installed")
	}
	exec.Command("userdel", "-rf", testUser).Run()
	if out, err := exec.Command("useradd", "-m", "-s", "/bin/sh", "-K", "SUB_UID_COUNT=65536", "-K", "SUB_GID_COUNT=65536", testUser).CombinedOutput(); err != nil {
		t.Fatalf("useradd: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("userdel", "-rf", testUser).Run() })
}

// publicCopy puts this binary, busybox and helper where an ordinary user can run them, and the user can write.
func publicCopy(t *testing.T) string {
	t.Helper()
	src, err := parts()
	need(t, err == nil, fmt.Sprint(err))
	// The binary of `go test` lies where only its owner looks.
	dir, err := os.MkdirTemp("/var/tmp", "cloudy-sandbox-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"/proc/self/exe": "sandbox.test", filepath.Join(src, "busybox"): "busybox", filepath.Join(src, "helper"): "helper"} {
		if err := copyFile(from, filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// suite runs all tests again through a wrapper command.
func suite(t *testing.T, mode Mode, skip string, wrapper ...string) {
	t.Helper()
	dir := publicCopy(t)
	bin := filepath.Join(dir, "sandbox.test")
	if runtime.GOARCH == "amd64" { // for TestForeign
		for from, to := range map[string]string{emulator(t, "qemu-aarch64"): "qemu", foreignHelper(t): "helper-arm64"} {
			if err := copyFile(from, filepath.Join(dir, to)); err != nil {
				t.Fatal(err)
			}
		}
	}
	args := append(wrapper[:len(wrapper):len(wrapper)], bin, "-test.v", "-test.skip", "^(TestAs|TestEnter)"+skip)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir, "HOME=" + dir, modeEnv + "=" + string(mode), rootEnv + "=" + dir, "CLOUDY_REQUIRE_ALL=" + os.Getenv("CLOUDY_REQUIRE_ALL")}
	out, err := cmd.CombinedOutput()
	for line := range bytes.Lines(out) {
		if s := string(line); err != nil || strings.HasPrefix(strings.TrimSpace(s), "--- ") || strings.Contains(s, " took ") || strings.Contains(s, " each") {
			t.Log(strings.TrimRight(s, "\n"))
		}
	}
	if err != nil {
		t.Error(err)
	}
}

func TestAsOrdinaryUser(t *testing.T) {
	ordinaryUser(t)
	suite(t, ModeUserNS, "", "setpriv", "--reuid="+testUser, "--regid="+testUser, "--init-groups", "--")
}

// Root without CAP_SYS_ADMIN, where the kernel lets it have a user namespace.
func TestAsRootWithoutRights(t *testing.T) {
	ordinaryUser(t)
	suite(t, ModeAuto, "", "setpriv", "--bounding-set=-sys_admin", "--")
}

// The same where it does not, as in most containers.
func TestAsRootInContainer(t *testing.T) {
	ordinaryUser(t)
	suite(t, ModePlain, "", "setpriv", "--bounding-set=-sys_admin", "--")
}

func TestEnter(t *testing.T) {
	ordinaryUser(t)
	dir := publicCopy(t)
	asUser := []string{"setpriv", "--reuid=" + testUser, "--regid=" + testUser, "--init-groups", "--"}
	tests := []struct {
		name    string
		wrapper []string
		env     string
		args    []string
		want    string // the start of the output
		has     string // and what is in it
		status  int
	}{
		{"root", nil, "", []string{"a", "b"}, "root 0 a,b\n", "", 42},
		{"ordinary user", asUser, "", []string{"a", "b"}, "userns 0 a,b\n", "", 42},
		{"a signal ends it", asUser, "", []string{"die"}, "userns 0 die\n", "", -15},
		{"no subordinate ids", []string{"setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "--"}, "", nil,
			"4: user 54321 has no subordinate ids in /etc/subuid", "usermod --add-subuids", 4},
		{"no newuidmap", asUser, "PATH=/nonsuch", nil, "4: newuidmap was not found", "apt install uidmap", 4},
		{"no_new_privs", []string{"setpriv", "--reuid=" + testUser, "--regid=" + testUser, "--init-groups", "--no-new-privs", "--"}, "", nil,
			"4: map ids: newuidmap", "setuid root", 4},
		{"root without rights", []string{"setpriv", "--bounding-set=-sys_admin", "--"}, "", nil, "userns 0", "", 42},
		{"root in a container", []string{"unshare", "-U", "--map-root-user", "sh", "-c", `echo 0 >/proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-sys_admin -- "$@"`, "-"}, "", nil,
			"plain 0", "", 42},
		{"an ordinary user where namespaces are off", []string{"sh", "-c",
			`echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"`, "-", "setpriv", "--reuid=" + testUser, "--regid=" + testUser, "--init-groups", "--"}, "", nil,
			"4: make a user namespace", "user.max_user_namespaces", 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			argv := append(append(tt.wrapper[:len(tt.wrapper):len(tt.wrapper)], filepath.Join(dir, "sandbox.test")), tt.args...)
			cmd := exec.Command(argv[0], argv[1:]...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), programEnv + "=enter", tt.env}
			if strings.HasPrefix(tt.name, "an ordinary user where") { // the limit is a namespace's own
				ids := []syscall.SysProcIDMap{{Size: 65536}}
				cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true}
			}
			out, _ := cmd.CombinedOutput()
			status := cmd.ProcessState.ExitCode()
			if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
				status = -int(ws.Signal())
			}
			if !strings.HasPrefix(string(out), tt.want) || !strings.Contains(string(out), tt.has) || status != tt.status {
				t.Errorf("status %d, output %s", status, out)
			}
		})
	}
	for _, sig := range []os.Signal{unix.SIGTERM, unix.SIGINT} {
		t.Run("forwards "+sig.String(), func(t *testing.T) {
			argv := append(asUser[:len(asUser):len(asUser)], filepath.Join(dir, "sandbox.test"))
			cmd := exec.Command(argv[0], argv[1:]...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), programEnv + "=wait"}
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(out)
			if line, err := r.ReadString('\n'); line != "ready\n" {
				t.Fatalf("got %q, %v", line, err)
			}
			cmd.Process.Signal(sig)
			if line, err := r.ReadString('\n'); line != sig.String()+"\n" {
				t.Errorf("got %q, %v", line, err)
			}
			if cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
				t.Errorf("ended with %v", cmd.ProcessState)
			}
		})
	}
	t.Run("Ctrl-C on a terminal comes once", func(t *testing.T) {
		master, slave := terminal(t)
		argv := append(asUser[:len(asUser):len(asUser)], filepath.Join(dir, "sandbox.test"))
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), programEnv + "=wait"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(master)
		if line, err := r.ReadString('\n'); line != "ready\r\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		master.WriteString("\x03")
		if line, err := r.ReadString('\n'); line != "^Cinterrupt\r\n" {
			t.Errorf("got %q, %v", line, err)
		}
		if cmd.Wait(); cmd.ProcessState.ExitCode() != 7 || r.Buffered() > 0 {
			rest, _ := r.Peek(r.Buffered())
			t.Errorf("ended with %v, %q", cmd.ProcessState, rest)
		}
	})
}
