package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cloudy/builder/disk/gpt"
	"cloudy/builder/disk/iso9660"
	"cloudy/builder/disk/squashfs"
	"cloudy/builder/tree"
	"cloudy/firstboot/seed"
	"cloudy/targets/internal/targettest"
)

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDSE5eQMXy1Nlh9lYy5ihIwUVK1JEYSqpPqfAVmXkrbs me@laptop"

func TestWords(t *testing.T) {
	for line, want := range map[string][]string{
		"a b=c  d\n":                         {"a", "b=c", "d"},
		`x="1 2" y`:                          {"x=1 2", "y"},
		`"x=1 \"2\" 3" ""`:                   {`x=1 "2" 3`, ""},
		"BOOT_IMAGE=/live/vmlinuz\tquiet":    {"BOOT_IMAGE=/live/vmlinuz", "quiet"},
		`"cloudy.ssh-key=ssh-ed25519 A me"`:  {"cloudy.ssh-key=ssh-ed25519 A me"},
		`cloudy.ssh-key="ssh-ed25519 A me" `: {"cloudy.ssh-key=ssh-ed25519 A me"},
	} {
		if got := words(line); !slices.Equal(got, want) {
			t.Errorf("%q: %q", line, got)
		}
	}
}

func TestParse(t *testing.T) {
	for line, want := range map[string]struct {
		o       Answers
		install bool
	}{
		"quiet":                             {Answers{After: "reboot"}, false},
		"cloudy.install":                    {Answers{After: "reboot", Ask: true}, true},
		"cloudy.install=ask":                {Answers{After: "reboot", Ask: true}, true},
		"cloudy.install=auto":               {Answers{After: "reboot", Disk: "auto"}, true},
		"cloudy.invite=x cloudy.hostname=h": {Answers{After: "reboot", Hostname: "h", Invitation: "x"}, false},
		`cloudy.install=/dev/sda cloudy.after=poweroff "cloudy.ssh-key=a b"`: {Answers{After: "poweroff", Disk: "/dev/sda", SSHKey: "a b"}, true},
	} {
		o, install := parse(line)
		if o != want.o || install != want.install {
			t.Errorf("%q: %+v %v", line, o, install)
		}
	}
}

func TestAnswers(t *testing.T) {
	good := Answers{Hostname: "node-7", SSHKey: key, After: "halt"}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	files, err := good.card()
	if err != nil {
		t.Fatal(err)
	}
	if c, errs := seed.ParseCard([]byte(files[seed.FileName])); len(errs) > 0 || c.HostName != "node-7" || len(c.SSHKeys) != 1 {
		t.Errorf("the node reads %+v %v", c, errs)
	}
	if files, err := (&Answers{}).card(); err != nil || files != nil {
		t.Errorf("nothing to tell: %v %v", files, err)
	}
	for name, bad := range map[string]Answers{
		"host name":  {Hostname: "node_7", After: "reboot"},
		"key":        {SSHKey: "ssh-ed25519 AAAA", After: "reboot"},
		"private":    {SSHKey: "-----BEGIN OPENSSH PRIVATE KEY-----", After: "reboot"},
		"invitation": {Invitation: "please", After: "reboot"},
		"after":      {After: "explode"},
	} {
		if err := bad.check(); err == nil {
			t.Errorf("a bad %s is taken", name)
		}
	}
}

// machine is /sys, /dev and the mounts of a machine with disks of all kinds.
func fakeMachine(t *testing.T) *disks {
	t.Helper()
	top := t.TempDir()
	d := &disks{sys: filepath.Join(top, "sys"), dev: filepath.Join(top, "dev"), mounts: filepath.Join(top, "mounts"), need: 1 << 30}
	put := func(path, content string) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	disk := func(name string, gib int, content string) {
		put(filepath.Join(d.sys, "block", name, "size"), fmt.Sprintln(gib<<21))
		put(filepath.Join(d.sys, "block", name, "ro"), "0\n")
		put(filepath.Join(d.dev, name), content)
		put(filepath.Join(d.sys, "class/block", name, "size"), "")
	}
	disk("loop0", 4, "")
	disk("sr0", 1, "")
	disk("sda", 8, "old system")
	put(filepath.Join(d.sys, "block/sda/device/model"), "Disk 2000 \n")
	disk("sdb", 4, "medium")
	put(filepath.Join(d.sys, "block/sdb/sdb1/partition"), "1\n")
	d.medium = filepath.Join(d.dev, "sdb")
	disk("sdc", 4, "")
	put(filepath.Join(d.sys, "block/sdc/sdc2/partition"), "2\n")
	put(d.mounts, "tmpfs /run tmpfs rw 0 0\n"+filepath.Join(d.dev, "sdc2")+" /mnt ext4 rw 0 0\n")
	disk("sdd", 0, "")
	disk("sde", 4, "")
	put(filepath.Join(d.sys, "block/sde/ro"), "1\n")
	disk("sdf", 0, "")
	put(filepath.Join(d.sys, "block/sdf/size"), "1000\n")
	disk("sdg", 4, "")
	put(filepath.Join(d.sys, "class/block/sdg/holders/dm-0/x"), "")
	disk("sdh", 4, "")
	put(filepath.Join(d.sys, "block/sdh/queue/logical_block_size"), "4096\n")
	return d
}

func TestDisks(t *testing.T) {
	d := fakeMachine(t)
	list, err := d.list()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"sda": "", "sdb": "started from", "sdc": "mounted at /mnt", "sdd": "no medium", "sde": "read-only", "sdf": "too small", "sdg": "in use by dm-0", "sdh": "512"}
	for _, x := range list {
		reason, ok := want[x.name]
		if !ok || (reason == "") != (x.refused == "") || !strings.Contains(x.refused, reason) {
			t.Errorf("%s: %q, want %q", x.name, x.refused, reason)
		}
		delete(want, x.name)
		if _, err := d.choose(x.path); (err == nil) != (x.refused == "") {
			t.Errorf("choose %s: %v", x.path, err)
		}
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
	if x, err := d.choose("auto"); err != nil || x.name != "sda" || !x.used || !strings.Contains(x.describe(), "Disk 2000, 8.6 GB") {
		t.Errorf("auto: %+v %v", x, err)
	}
	if _, err := d.choose(filepath.Join(d.dev, "sdz")); err == nil || !strings.Contains(err.Error(), "sda") {
		t.Errorf("no such disk: %v", err)
	}
	if err := os.Remove(filepath.Join(d.sys, "block/sde/ro")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.choose("auto"); err == nil || !strings.Contains(err.Error(), "there are 2") {
		t.Errorf("auto with two: %v", err)
	}
	// A partition is no disk, a link is what it leads to.
	link := filepath.Join(t.TempDir(), "by-id")
	if err := os.Symlink(filepath.Join(d.dev, "sda"), link); err != nil {
		t.Fatal(err)
	}
	if x, err := d.choose(link); err != nil || x.name != "sda" {
		t.Errorf("by a link: %+v %v", x, err)
	}
}

// TestAsk answers on one of two consoles, with mistakes.
func TestAsk(t *testing.T) {
	d := fakeMachine(t)
	one, person := net.Pipe()
	other, nobody := net.Pipe()
	go io.Copy(io.Discard, nobody)
	c := newConsoles([]io.ReadWriteCloser{one, other})
	defer c.close()
	var said bytes.Buffer
	typed := []string{"9", "sda", "node_7", "node-7", "ssh", key, "", "no", "yes"}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, err := person.Read(buf)
			said.Write(buf[:n])
			if err != nil {
				return
			}
			if strings.HasSuffix(said.String(), ": ") && len(typed) > 0 {
				line := typed[0]
				typed = typed[1:]
				go func() { _, _ = io.WriteString(person, line+"\n") }()
			}
		}
	}()
	o := Answers{Ask: true}
	err := o.ask(c, d, "node")
	person.Close()
	<-done
	if err != nil || o.Disk != filepath.Join(d.dev, "sda") || o.Hostname != "node-7" || o.SSHKey != key || o.Invitation != "" {
		t.Errorf("%+v %v\n%s", o, err, said.String())
	}
	for _, want := range []string{"started from", "no host name", "no SSH public key", "Everything on it will be lost", "Disk 2000", "type yes or quit"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("nothing was said of %q:\n%s", want, said.String())
		}
	}
	if len(typed) > 0 {
		t.Errorf("not asked for: %q", typed)
	}
}

func TestQuit(t *testing.T) {
	d := fakeMachine(t)
	one, person := net.Pipe()
	go io.Copy(io.Discard, person)
	c := newConsoles([]io.ReadWriteCloser{one})
	defer c.close()
	go io.WriteString(person, "quit\n")
	o := Answers{Ask: true}
	if err := o.ask(c, d, "node"); !errors.Is(err, errQuit) {
		t.Errorf("quit: %v", err)
	}
	d.need = 1 << 50
	if err := o.ask(c, d, "node"); !errors.Is(err, errQuit) || !strings.Contains(err.Error(), "no disk") {
		t.Errorf("no disk: %v", err)
	}
}

// root is a system that boots by UEFI alone.
func root() *tree.Tree {
	return targettest.Debian(map[string]string{
		"usr/lib/shim/shimx64.efi.signed": "shim", "usr/lib/shim/mmx64.efi.signed": "mok",
		"usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed": "grub", "boot/initrd.img-6": "initrd",
		"root/.ssh/authorized_keys": "old key\n",
	})
}

// TestInstall installs onto a disk that is full of other things, and lets the
// filesystems' own tools look at it.
func TestInstall(t *testing.T) {
	targettest.Need(t, "e2fsck", "e2fsprogs")
	targettest.Need(t, "fsck.vfat", "dosfstools")
	targettest.Need(t, "mcopy", "mtools")
	c := Config{ID: "x", Image: "node", Arch: "amd64", KernelArgs: []string{"quiet"}, Boot: []string{"uefi"}, Grow: true, Epoch: targettest.Epoch}
	need, err := c.need(t.Context(), root())
	if err != nil {
		t.Fatal(err)
	}
	size := need + 40*mib + 12345*512 // no whole MiB
	medium := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(medium, bytes.Repeat([]byte{0xa5}, int(size)), 0o600); err != nil {
		t.Fatal(err)
	}
	var said []string
	o := Answers{Hostname: "node-7", SSHKey: key}
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	if err := c.writeTo(t.Context(), disk{path: medium, size: size}, root(), o, say); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(said, "Waiting for the disk.\n") {
		t.Errorf("said %q", said)
	}
	f, err := os.Open(medium)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := gpt.Read(f, size/mib*mib)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range table.Partitions {
		part := filepath.Join(t.TempDir(), p.Name)
		data := make([]byte, p.Size)
		if _, err := f.ReadAt(data, p.Start); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(part, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if p.Name == "esp" {
			targettest.Run(t, "fsck.vfat", "-n", part)
			text := targettest.Run(t, "mcopy", "-i", part, "::"+seed.FileName, "-")
			if card, errs := seed.ParseCard([]byte(text)); len(errs) > 0 || card.HostName != "node-7" {
				t.Errorf("%s: %+v %v", seed.FileName, card, errs)
			}
			continue
		}
		targettest.Run(t, "e2fsck", "-fn", part)
		for name, want := range map[string]string{
			"/etc/hostname": "node-7\n", "/root/.ssh/authorized_keys": "old key\n" + key + "\n",
			"/etc/fstab": "x-systemd.growfs", "/boot/grub/grub.cfg": "quiet",
		} {
			if got := targettest.Run(t, "debugfs", "-R", "cat "+name, part); !strings.Contains(got, want) {
				t.Errorf("%s: %s", name, got)
			}
		}
		journal := filepath.Join(t.TempDir(), "journal")
		targettest.Run(t, "debugfs", "-R", "dump <8> "+journal, part)
		if b, err := os.ReadFile(journal); err != nil || bytes.Contains(b, []byte{0xa5, 0xa5, 0xa5, 0xa5}) {
			t.Errorf("old blocks in the journal: %v", err)
		}
	}
	// Two installations are two disks.
	first := table.GUID
	if err := c.writeTo(t.Context(), disk{path: medium, size: size}, root(), o, say); err != nil {
		t.Fatal(err)
	}
	if table, err = gpt.Read(f, size/mib*mib); err != nil || table.GUID == first {
		t.Errorf("the second installation: %v %v", table, err)
	}
	if err := c.writeTo(t.Context(), disk{path: medium, size: 80 * mib}, root(), o, say); err == nil {
		t.Error("a small disk is written to")
	}
}

// TestMedium finds a system on a medium and mounts it.
func TestMedium(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "iso"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir := &tree.Tree{Entries: []tree.Entry{{Path: ".", Type: tree.Dir, Mode: 0o755}}}
	if _, err := iso9660.Write(f, dir, iso9660.Options{
		Volume: "X", Set: "the-id", Epoch: targettest.Epoch,
		Placed: []iso9660.Placed{{Path: "root", Write: func(at int64) (int64, error) {
			return squashfs.Write(t.Context(), f, at, root(), squashfs.Options{Epoch: targettest.Epoch})
		}}},
		Application: func(im *iso9660.Image) []byte {
			at, _ := im.Find("root")
			return []byte(Root{at.Offset, at.Size}.Text())
		},
	}); err != nil {
		t.Fatal(err)
	}
	if _, ok := readMedium(f.Name(), "other"); ok {
		t.Error("another medium is taken for it")
	}
	r, ok := readMedium(f.Name(), "the-id")
	if !ok {
		t.Fatal("the medium is not recognised")
	}
	for _, name := range []string{"/dev/null", filepath.Join(t.TempDir(), "nonesuch")} {
		if _, ok := readMedium(name, "the-id"); ok {
			t.Errorf("%s is a medium", name)
		}
	}
	if os.Geteuid() != 0 {
		targettest.Missing(t, "wants root to mount")
	}
	m := &medium{device: f.Name(), root: r}
	to := filepath.Join(t.TempDir(), "system")
	if err := m.mount(to); err != nil {
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENODEV) || errors.Is(err, os.ErrNotExist) {
			targettest.Missing(t, "no loop devices or squashfs here: "+err.Error())
		}
		t.Fatal(err)
	}
	defer unix.Unmount(to, 0)
	got, err := tree.Scan(to)
	if err != nil || got.Find("usr/lib/os-release") == nil {
		t.Errorf("the system: %v", err)
	}
}

// TestNoMedium ends with the context and says what there is.
func TestNoMedium(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := findMedium(ctx, "nonesuch"); err == nil || !strings.Contains(err.Error(), "nonesuch") {
		t.Errorf("no medium: %v", err)
	}
}
