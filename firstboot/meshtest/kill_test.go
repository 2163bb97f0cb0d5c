package meshtest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/identity"
)

// TestIdentityKilled kills the identity stage at random moments: what is on
// disk is whole at any time, what was made once stays, and the next run goes
// on from there.
func TestIdentityKilled(t *testing.T) {
	t.Parallel()
	bin, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var root string
	fresh := func() {
		root = filepath.Join(dir, fmt.Sprint(rand.Int64()))
		if err := os.MkdirAll(filepath.Join(root, "etc/ssh"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fresh()
	// How long a whole run takes here decides when to kill; an RSA key takes
	// as long as it takes, so it is the longest of some.
	var whole time.Duration
	for range 4 {
		start := time.Now()
		if out, err := exec.Command(bin, "--root", root, "identity").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		whole = max(whole, time.Since(start))
		fresh()
	}
	var name string
	kills, done := 0, 0
	for kills < 60 || done < 3 {
		cmd := exec.Command(bin, "--root", root, "identity")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(rand.N(whole), func() { cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		name = checkIdentity(t, root, name, err == nil)
		if err != nil {
			kills++
			continue
		}
		done++
		fresh()
		name = ""
	}
	t.Logf("a run takes %s; %d kills, %d nodes came through", whole.Round(time.Millisecond), kills, done)
	// With a look at no killed run left half done.
	if out, err := exec.Command(bin, "--root", root, "identity").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	checkIdentity(t, root, name, true)
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".cloudy-tmp") && strings.Contains(path, agent.StateDir) {
			t.Errorf("left over: %s", path)
		}
		return nil
	})
}

// hostForm is a name that the agent made, or one that a test configured.
var hostForm = regexp.MustCompile(`^(cloudy-[0-9a-f]{6}|node-[a-z0-9]+)\n$`)

// checkIdentity looks at what is on disk and returns the node's name.
func checkIdentity(t *testing.T, root, name string, complete bool) string {
	t.Helper()
	id, err := identity.Files{Root: root, State: agent.StateDir}.Load()
	switch {
	case errors.Is(err, fs.ErrNotExist) && name == "" && !complete:
	case err != nil:
		t.Fatalf("the identity is damaged or lost: %v", err)
	case name != "" && string(id.Name()) != name:
		t.Fatalf("the node was %s and is %s", name, id.Name())
	default:
		name = string(id.Name())
	}
	for file, check := range map[string]func([]byte) bool{
		"etc/machine-id":               func(b []byte) bool { return len(bytes.TrimSpace(b)) == 32 && len(b) == 33 },
		"etc/hostname":                 hostForm.Match,
		"etc/ssh/ssh_host_ed25519_key": func(b []byte) bool { _, err := ssh.ParsePrivateKey(b); return err == nil },
		"etc/ssh/ssh_host_ecdsa_key":   func(b []byte) bool { _, err := ssh.ParsePrivateKey(b); return err == nil },
		"etc/ssh/ssh_host_ecdsa_key.pub": func(b []byte) bool {
			_, _, _, _, err := ssh.ParseAuthorizedKey(b)
			return err == nil
		},
	} {
		data, err := os.ReadFile(filepath.Join(root, file))
		if errors.Is(err, fs.ErrNotExist) && !complete {
			continue
		}
		if err != nil || !check(data) {
			t.Fatalf("%s: %q, %v", file, data, err)
		}
	}
	return name
}
