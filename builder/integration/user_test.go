package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// Ids of the ordinary user that tests run the program as. Nobody has them:
// they exist in a mount namespace alone.
const (
	userID     = 61234
	userSubID  = 1 << 30
	userSubIDs = 1 << 16
)

// asUser makes the place one of an ordinary user: the program runs with that
// user's ids, and everything in the place is the user's. Without a range the
// user has no subordinate ids. The host's files stay as they are: the user is
// in files that are bound over /etc/passwd and the like in a namespace.
func (p *place) asUser(ranged bool) {
	p.t.Helper()
	needRoot(p.t)
	needTools(p.t, "unshare", "setpriv", "newuidmap", "newgidmap", "mount")
	etc := filepath.Join(p.top, "etc")
	entry := fmt.Sprintf("integration:x:%d:%d::%s:/bin/sh\n", userID, userID, p.top)
	files := map[string]string{
		"passwd": readFile(p.t, "/etc/passwd") + entry,
		"group":  readFile(p.t, "/etc/group") + fmt.Sprintf("integration:x:%d:\n", userID),
		"subuid": "", "subgid": "",
	}
	if ranged {
		line := fmt.Sprintf("integration:%d:%d\n", userSubID, userSubIDs)
		files["subuid"], files["subgid"] = line, line
	}
	script := "set -e\n"
	for name, content := range files {
		writeFile(p.t, filepath.Join(etc, name), content)
		if _, err := os.Stat("/etc/" + name); err != nil {
			skip(p.t, "no /etc/%s to put the user into", name)
		}
		script += "mount --bind " + filepath.Join(etc, name) + " /etc/" + name + "\n"
	}
	id := strconv.Itoa(userID)
	script += "exec setpriv --reuid " + id + " --regid " + id + " --clear-groups -- \"$@\"\n"
	mkdir(p.t, p.cache)
	if out, err := exec.Command("chown", "-R", id+":"+id, p.dir, p.cache).CombinedOutput(); err != nil {
		p.t.Fatalf("chown: %v: %s", err, out)
	}
	p.wrap = []string{"unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"}
}

// copyDownloads fills the place's store with copies, for another owner.
func (p *place) copyDownloads() {
	p.t.Helper()
	copyBlobs(p.t, shared.cache, p.cache, func(from, to string) error { return copyFile(from, to) })
}

// TestUser makes sure that the user of these tests is an ordinary one.
func TestUser(t *testing.T) {
	p := newPlace(t)
	p.asUser(true)
	c := p.command()
	c.Args[len(p.wrap)] = "id"
	if r := p.finish(c); r.code != 0 || r.stdout != fmt.Sprintf("uid=%d(integration) gid=%d(integration) groups=%d(integration)\n", userID, userID, userID) {
		t.Errorf("id: %v", r)
	}
}
