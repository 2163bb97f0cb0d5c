package identity

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cloudy/firstboot/seed"
)

const someKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3kPPsVhUXU4o2xXk2BXQzjyqGVPo2kZ7JnfGyvV6zN"

// TestProvision makes the accounts of a seed with the system's own programs:
// those that can be made are, whatever is wrong with others.
func TestProvision(t *testing.T) {
	need := func(ok bool, why string) {
		t.Helper()
		if !ok && os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal(why)
		}
		if !ok {
			t.Skip(why)
		}
	}
	need(os.Geteuid() == 0, "needs root to make accounts")
	for _, tool := range []string{"useradd", "chpasswd"} {
		_, err := exec.LookPath(tool)
		need(err == nil, "needs "+tool)
	}
	f := Files{Root: t.TempDir(), State: state}
	for path, text := range map[string]string{
		"etc/passwd":  "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n",
		"etc/shadow":  "root:*:20000:0:99999:7:::\ndaemon:*:20000:0:99999:7:::\n",
		"etc/group":   "root:x:0:\ndaemon:x:1:\nadm:x:4:\nsudo:x:27:\n",
		"etc/gshadow": "root:*::\ndaemon:*::\nadm:*::\nsudo:*::\n",
	} {
		path = f.path(path)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	os.MkdirAll(f.path("home"), 0o755)
	const hash = "$6$saltsalt$abcdefghijklmnop"
	list := []seed.Provision{
		{Origin: "nothing"},
		{HostName: "field", SSHKeys: []string{someKey + " root@pc"}, Origin: "card"},
		{HostName: "other", Origin: "drive", Users: []seed.User{
			{Name: "daemon", SSHKeys: []string{someKey}},
			{Name: "maria", Comment: "Maria", Shell: "/bin/sh", Groups: []string{"sudo", "adm", "nobody-has-it"}, SSHKeys: []string{someKey}, PasswordHash: hash, Sudo: true},
			{Name: "pau"},
		}},
	}
	errs := f.Provision(t.Context(), list)
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "daemon") {
		t.Errorf("%v", errs)
	}
	read := func(path string) string { data, _ := os.ReadFile(f.path(path)); return string(data) }
	if got := read("root/.ssh/authorized_keys"); got != someKey+" root@pc\n" {
		t.Errorf("root lets in %q", got)
	}
	if got := read("usr/sbin/.ssh/authorized_keys"); got != "" {
		t.Errorf("an account of the system lets in %q", got)
	}
	maria, ok := f.account("maria")
	if !ok || maria.uid < 1000 || !strings.Contains(read("etc/passwd"), ":Maria:/home/maria:/bin/sh\n") {
		t.Fatalf("%+v in %s", maria, read("etc/passwd"))
	}
	if !strings.Contains(read("etc/shadow"), "maria:"+hash+":") || !strings.Contains(read("etc/shadow"), "pau:!") {
		t.Errorf("passwords: %s", read("etc/shadow"))
	}
	if g := read("etc/group"); !strings.Contains(g, "sudo:x:27:maria\n") || !strings.Contains(g, "adm:x:4:maria\n") {
		t.Errorf("groups: %s", g)
	}
	if got := read("etc/sudoers.d/90-cloudy-maria"); got != "maria ALL=(ALL:ALL) NOPASSWD: ALL\n" || read("etc/sudoers.d/90-cloudy-pau") != "" {
		t.Errorf("sudo: %q", got)
	}
	if a, b := ownerAndMode(t, f.path("home/maria/.ssh")), ownerAndMode(t, f.path("home/maria/.ssh/authorized_keys")); a != [3]int{maria.uid, maria.gid, 0o700} || b != [3]int{maria.uid, maria.gid, 0o600} {
		t.Errorf("keys of maria: %o, %o", a, b)
	}
	p, ok := f.Provisioned()
	if !ok || p.HostName != "field" || p.Origin != "card, drive" || strings.Contains(read(state+"/"+provisionedFile), hash) {
		t.Errorf("remembered: %+v", p)
	}
	// Cut short, it is done again: nothing is there twice.
	if errs := f.Provision(t.Context(), list); len(errs) != 1 || strings.Count(read("etc/passwd"), "maria") != 2 || strings.Count(read("home/maria/.ssh/authorized_keys"), someKey) != 1 {
		t.Errorf("again: %v: %s", errs, read("etc/passwd"))
	}
	if errs := f.Provision(t.Context(), list[:1]); len(errs) != 0 {
		t.Errorf("nothing: %v", errs)
	}
}
