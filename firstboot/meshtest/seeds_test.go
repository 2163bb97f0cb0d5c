package meshtest

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/nodeconfig"
)

// TestSeedSources: a node joins by an invitation from each place where it may
// come from, and when it is in, the invitation is on no disk of its any more.
// (Of a NoCloud drive see seed: TestDrive, and builder/cli; of the card see
// TestKilledAtEveryWrite.)
func TestSeedSources(t *testing.T) {
	l, a := founder(t)
	token := a.invite() // good for one: each node gets its own
	image := l.node("image", 1, 3, nodeconfig.Config{Mesh: nodeconfig.Mesh{Invitation: token}})
	nodes := map[*node]string{image: token}
	origins := map[*node]string{image: "built into the image"}

	kernel := l.node("kernel", 2, 2, nodeconfig.Config{})
	token = a.invite()
	kernel.write("proc/cmdline", "quiet cloudy.invite="+token+"\n")
	kernel.write("boot/firmware/cmdline.txt", "console=tty1 cloudy.invite="+token+" rootwait\n")
	nodes[kernel], origins[kernel] = token, "kernel command line"

	credential := l.node("cred", 2, 3, nodeconfig.Config{})
	token = a.invite()
	credential.write("etc/credstore/cloudy.invitation", token)
	credential.write("run/credentials/cloudy.invitation", token) // where systemd gives it to the agent, in memory
	credential.env = []string{"CREDENTIALS_DIRECTORY=" + filepath.Join(credential.root, "run/credentials")}
	nodes[credential], origins[credential] = token, "system credential"

	typed := l.node("typed", 1, 4, nodeconfig.Config{})
	nodes[typed], origins[typed] = a.invite(), "typed in"

	for n := range nodes {
		n.start()
	}
	typed.takes(nodes[typed])
	for n, token := range nodes {
		if s := n.ready(5 * time.Minute); s.Seed != origins[n] {
			t.Errorf("%s joined with the invitation %s, want %s", n.name, s.Seed, origins[n])
		}
		for _, dir := range []string{"etc", "var", "boot"} {
			filepath.WalkDir(filepath.Join(n.root, dir), func(path string, d os.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return nil
				}
				if data, _ := os.ReadFile(path); strings.Contains(string(data), token) {
					t.Errorf("%s: the invitation is in %s", n.name, path)
				}
				return nil
			})
		}
		if strings.Contains(n.log(), token) {
			t.Errorf("%s: the invitation is in the log", n.name)
		}
	}
	line, err := os.ReadFile(filepath.Join(kernel.root, "boot/firmware/cmdline.txt"))
	if err != nil || strings.Join(strings.Fields(string(line)), " ") != "console=tty1 rootwait" {
		t.Errorf("the next boot has %q, %v", line, err)
	}
	if _, err := nodeconfig.Load(filepath.Join(image.root, nodeconfig.Path)); err != nil {
		t.Error(err)
	}
	// And it is a member by what it keeps, not by what it was given.
	image.stop(syscall.SIGTERM)
	image.start()
	image.ready(5 * time.Minute)
	if left, _ := filepath.Glob(filepath.Join(image.root, agent.WishDir, "*")); len(left) > 0 {
		t.Errorf("wishes are left: %v", left)
	}
}
