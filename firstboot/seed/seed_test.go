package seed

import (
	"crypto/ed25519"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/nodeconfig"
)

func token(t *testing.T, n byte) string {
	t.Helper()
	v := membership.Invitation{Expires: int64(n), Uses: 1}
	text, err := v.Token(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOrderAndWipe(t *testing.T) {
	s := Sources{Root: t.TempDir(), State: "var/lib/cloudy", Baked: token(t, 5)}
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(s.Root, path)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Type(token(t, 1)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Join(s.Root, "cred"))
	write("cred/cloudy.invitation", token(t, 2))
	write("proc/cmdline", "quiet cloudy.invite="+token(t, 3)+" splash\n")
	write("boot/firmware/cloudy.txt", "Benvinguda!\r\n"+token(t, 4)+"\r\n")
	write("boot/efi/cloudy.txt", token(t, 4)) // the same again
	write("boot/cloudy.txt", "nothing in here")
	write("boot/firmware/cmdline.txt", "quiet cloudy.invite="+token(t, 3)+" splash\n")
	write("boot/cmdline.txt", "quiet cloudy.invite="+token(t, 9)+" splash\n")
	write("etc/credstore/cloudy.invitation", token(t, 2)+"\n")
	write("etc/cloudy/node.json", `{"version": 1, "mesh": {"invitation": "`+token(t, 5)+`", "network": "x"}}`)
	conf := filepath.Join(s.Root, "etc/cloudy/node.json")
	if err := os.Chmod(conf, 0o640); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(conf, 0, 12345); err != nil {
			t.Fatal(err)
		}
	}

	// What root found on a drive, and left for the daemon.
	if err := durable.WriteJSON(s.imported(), []Seed{{token(t, 4), OriginCard, ""}, {token(t, 6), OriginDrive, ""}}); err != nil {
		t.Fatal(err)
	}

	found := s.Find()
	if len(found) != 6 {
		t.Fatalf("%d found: %+v", len(found), found)
	}
	for i, want := range []struct {
		n      byte
		origin string
	}{{1, OriginTyped}, {2, OriginCredential}, {3, OriginKernel}, {4, OriginCard}, {6, OriginDrive}, {5, OriginImage}} {
		x := found[i]
		if x.Token != token(t, want.n) || x.Origin != want.origin {
			t.Errorf("%d is %s, want %s", i+1, x.Origin, want.origin)
		}
		if strings.Contains(x.Origin, x.Token) {
			t.Errorf("the secret is in %q", x.Origin)
		}
		if err := s.Used(x); err != nil {
			t.Error(err)
		}
	}
	if err := s.Forget(); err != nil {
		t.Error(err)
	}
	// What the kernel, systemd and the agent's configuration have given is
	// there as long as they run; on the disk nothing is.
	left := s.Find()
	if len(left) != 3 || left[0].Token != token(t, 2) || left[1].Origin != OriginKernel || left[2].Origin != OriginImage {
		t.Errorf("left: %+v", left)
	}
	read := func(path string) string { data, _ := os.ReadFile(filepath.Join(s.Root, path)); return string(data) }
	for _, path := range []string{"boot/firmware/cloudy.txt", "boot/efi/cloudy.txt"} {
		if got := read(path); strings.Contains(got, "cloudy1.") || got == "" {
			t.Errorf("%s says %q", path, got)
		}
	}
	if got := read("boot/firmware/cmdline.txt"); !slices.Equal(strings.Fields(got), []string{"quiet", "splash"}) {
		t.Errorf("the next command line is %q", got)
	}
	if got := read("boot/cmdline.txt"); !strings.Contains(got, token(t, 9)) {
		t.Errorf("somebody else's is gone: %q", got)
	}
	if got := read("etc/credstore/cloudy.invitation"); got != "" {
		t.Errorf("the credential says %q", got)
	}
	c, err := nodeconfig.Load(conf)
	if err != nil || c.Mesh.Invitation != "" || c.Mesh.Network != "x" {
		t.Errorf("the configuration is %+v, %v", c.Mesh, err)
	}
	// The daemon, who is not root, reads it by its group.
	var st unix.Stat_t
	if err := unix.Stat(conf, &st); err != nil || st.Mode&0o777 != 0o640 || os.Geteuid() == 0 && st.Gid != 12345 {
		t.Errorf("mode %o, group %d, %v", st.Mode, st.Gid, err)
	}
}

func TestFound(t *testing.T) {
	s := Sources{Root: t.TempDir(), State: "state"}
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Join(s.Root, "cred"))
	os.MkdirAll(filepath.Join(s.Root, "cred"), 0o755)
	os.MkdirAll(filepath.Join(s.Root, "proc"), 0o755)
	if got := s.Found(); got != "" {
		t.Errorf("%q out of nothing", got)
	}
	os.WriteFile(filepath.Join(s.Root, "proc/cmdline"), []byte("quiet cloudy.found=guifi ro\n"), 0o644)
	if got := s.Found(); got != "guifi" {
		t.Errorf("the command line says %q", got)
	}
	os.WriteFile(filepath.Join(s.Root, "cred/cloudy.found"), []byte("other\n"), 0o600)
	if got := s.Found(); got != "other" {
		t.Errorf("the credential says %q", got)
	}
}

func TestOddFiles(t *testing.T) {
	s := Sources{Root: t.TempDir(), State: "state"}
	os.MkdirAll(filepath.Join(s.Root, "boot/cloudy.txt"), 0o755) // a folder
	os.MkdirAll(filepath.Join(s.Root, "boot/efi"), 0o755)
	os.WriteFile(filepath.Join(s.Root, "boot/efi/cloudy.txt"), make([]byte, 1<<20), 0o644)
	if found := s.Find(); len(found) != 0 {
		t.Errorf("%+v", found)
	}
}

func TestCard(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3kPPsVhUXU4o2xXk2BXQzjyqGVPo2kZ7JnfGyvV6zN"
	tok := token(t, 1)
	utf16 := func(s string) string {
		out := "\xff\xfe"
		for _, r := range s {
			out += string([]byte{byte(r), 0})
		}
		return out
	}
	whole := "# hello\r\nHostName = \"My-Node\"\r\nssh-key=" + key + " me@laptop\r\nSSH-Key = " + key + "\r\n\r\ninvitation=" + tok + "\r\n"
	for name, text := range map[string]string{
		"windows": whole, "unix": strings.ReplaceAll(whole, "\r\n", "\n"), "old mac": strings.ReplaceAll(whole, "\r\n", "\r"),
		"byte order mark": "\xef\xbb\xbf" + whole, "utf-16": utf16(whole),
	} {
		c, errs := ParseCard([]byte(text))
		if len(errs) > 0 || c.HostName != "my-node" || len(c.SSHKeys) != 2 || c.SSHKeys[0] != key+" me@laptop" || c.SSHKeys[1] != key || c.Invitation != tok {
			t.Errorf("%s: %+v, %v", name, c, errs)
		}
		again, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if c2, errs := ParseCard(again); len(errs) > 0 || c2.HostName != c.HostName || len(c2.SSHKeys) != 2 || c2.Invitation != tok {
			t.Errorf("%s: written and read again: %+v, %v", name, c2, errs)
		}
	}
	// A mistake costs its line only.
	c, errs := ParseCard([]byte("hostname=no good\nssh-key=command=\"x\" " + key + "\nssh-key=rubbish\nssh-key=" + key + "\nhostname=\n" + tok))
	if len(errs) != 3 || c.HostName != "" || len(c.SSHKeys) != 1 || c.Invitation != tok {
		t.Errorf("%+v, %v", c, errs)
	}
	for _, bad := range []Card{{HostName: "a b"}, {SSHKeys: []string{"x\nhostname=y"}}, {Invitation: "cloudy1.x.y"}} {
		if _, err := bad.Encode(); err == nil {
			t.Errorf("%+v is written", bad)
		}
	}
}

func FuzzCard(f *testing.F) {
	f.Add([]byte("hostname=x\nssh-key = y\r\n"))
	f.Add([]byte("\xff\xfeh\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _ := ParseCard(data)
		if c.Invitation != "" { // its signature is not looked at here
			c.Invitation = ""
		}
		text, err := c.Encode()
		if err != nil {
			t.Fatalf("%+v cannot be written: %v", c, err)
		}
		again, errs := ParseCard(text)
		if len(errs) > 0 || again.HostName != c.HostName || len(again.SSHKeys) != len(c.SSHKeys) {
			t.Fatalf("%+v became %+v, %v", c, again, errs)
		}
	})
}

const userData = `#cloud-config
hostname: field.example.org
ssh_authorized_keys:
  - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3kPPsVhUXU4o2xXk2BXQzjyqGVPo2kZ7JnfGyvV6zN root@pc
users:
  - default
  - name: maria
    gecos: Maria
    groups: sudo, adm
    shell: /bin/sh
    sudo: ALL=(ALL) NOPASSWD:ALL
    lock_passwd: false
    passwd: $6$saltsalt$abcdefghijklmnop
    ssh_authorized_keys: [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3kPPsVhUXU4o2xXk2BXQzjyqGVPo2kZ7JnfGyvV6zN" ]
  - name: "../evil"
runcmd: [ "touch /tmp/never" ]
write_files:
  - path: /etc/cloudy.txt
    content: TOKEN
`

func TestNoCloud(t *testing.T) {
	tok := token(t, 9)
	p, got, errs := parseNoCloud([]byte(strings.Replace(userData, "TOKEN", tok, 1)), []byte("instance-id: x\nlocal-hostname: other\n"))
	if len(errs) != 1 || p.HostName != "field" || len(p.SSHKeys) != 1 || got != tok || len(p.Users) != 1 {
		t.Fatalf("%+v, %q, %v", p, got, errs)
	}
	if u := p.Users[0]; u.Name != "maria" || !u.Sudo || u.Shell != "/bin/sh" || len(u.Groups) != 2 || u.PasswordHash == "" || len(u.SSHKeys) != 1 {
		t.Errorf("%+v", u)
	}
	for _, bad := range []string{"#!/bin/sh\necho", "#cloud-config\nusers: {", "#cloud-config\nhostname: [1]"} {
		if _, _, errs := parseNoCloud([]byte(bad), nil); len(errs) == 0 {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzNoCloud(f *testing.F) {
	f.Add([]byte(userData), []byte("local-hostname: x"))
	f.Fuzz(func(t *testing.T, user, meta []byte) {
		p, _, _ := parseNoCloud(user, meta)
		for _, u := range p.Users {
			if err := u.check(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestDrive mounts real drives, of both filesystems that cloud-init's tools
// write.
func TestDrive(t *testing.T) {
	need := func(ok bool, why string) {
		t.Helper()
		if !ok && os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal(why)
		}
		if !ok {
			t.Skip(why)
		}
	}
	need(os.Geteuid() == 0, "needs root to mount")
	for _, tool := range []string{"mkfs.vfat", "mcopy", "mke2fs", "xorriso", "losetup"} {
		_, err := exec.LookPath(tool)
		need(err == nil, "needs "+tool)
	}
	dir := t.TempDir()
	tok := token(t, 7)
	os.WriteFile(filepath.Join(dir, "user-data"), []byte(strings.Replace(userData, "TOKEN", tok, 1)), 0o644)
	os.WriteFile(filepath.Join(dir, "meta-data"), []byte("instance-id: x\n"), 0o644)
	mounted := 0
	for kind, script := range map[string]string{
		"vfat":    "truncate -s 4M d.vfat && mkfs.vfat -n cidata d.vfat && mcopy -i d.vfat user-data meta-data ::",
		"ext4":    "mkdir files && cp user-data meta-data files && mke2fs -q -t ext4 -d files d.ext4 4M",
		"iso9660": "xorriso -as mkisofs -quiet -V cidata -J -R -o d.iso9660 user-data meta-data",
	} {
		cmd := exec.Command("sh", "-c", script)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", kind, err, out)
		}
		image := filepath.Join(dir, "d."+kind)
		// What a kernel without the two mounts as well.
		if got := driveType(image); got != kind && kind != "ext4" {
			t.Errorf("%s is seen as %q", kind, got)
		}
		out, err := exec.Command("losetup", "--find", "--show", "--read-only", image).CombinedOutput()
		need(err == nil, "no loop devices here: "+string(out))
		dev := strings.TrimSpace(string(out))
		t.Cleanup(func() { exec.Command("losetup", "-d", dev).Run() })
		if got := drives()[dev]; got != kind && kind != "ext4" {
			t.Errorf("%s among the machine's drives is %q", kind, got)
		}
		s := Sources{Root: t.TempDir(), State: "state", Drives: map[string]string{dev: kind}}
		p, errs := s.Import()
		if len(errs) == 1 && errors.Is(errs[0], unix.ENODEV) {
			t.Logf("this kernel does not mount %s", kind)
			continue
		}
		mounted++
		if len(p) != 1 || len(errs) != 1 || p[0].HostName != "field" {
			t.Fatalf("%s: %+v, %v", kind, p, errs)
		}
		if found := s.Find(); len(found) != 1 || found[0].Token != tok || found[0].Origin != OriginDrive {
			t.Errorf("%s: %+v", kind, found)
		}
		if left, _ := os.ReadDir(filepath.Join(s.Root, "run/cloudy-identity")); len(left) != 0 {
			t.Errorf("%s: left mounted: %v", kind, left)
		}
	}
	if mounted == 0 {
		t.Skip("this kernel mounts none of them")
	}
}
