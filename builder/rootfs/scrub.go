package rootfs

import (
	"fmt"
	"path"
	"strings"
	"time"

	"cloudy/builder/tree"
)

// scrubAction is what happens to a path that must not ship as it is.
type scrubAction byte

const (
	remove   scrubAction = iota
	truncate             // stays as an empty file
	contents             // what is below the folder goes, the folder stays
	keep                 // stays, whatever a later rule says
)

// scrubRule names paths by path.Match patterns, element by element.
type scrubRule struct {
	pattern string
	action  scrubAction
	why     string
}

// scrubRules is the declared list of what never ships. The node makes its own
// of what it needs at first boot.
var scrubRules = []scrubRule{
	{"var/lib/dbus/machine-id", remove, "identity"},
	{"etc/ssh/ssh_host_*", remove, "identity: SSH host keys"},
	{"etc/tinc/*/*_key.priv", remove, "identity: mesh keys"},
	{"var/lib/cloudy", contents, "identity: the node's keys and its place in the mesh"},
	{"etc/bind/rndc.key", remove, "secret: made once per node"},
	{"etc/ssl/private/ssl-cert-snakeoil.key", remove, "secret: snake-oil key"},
	{"etc/ssl/certs/ssl-cert-snakeoil.pem", remove, "certificate of a removed key"},
	{"var/lib/systemd/random-seed", remove, "secret: random seed"},
	{"var/lib/systemd/credential.secret", remove, "secret"},
	{"var/lib/urandom/random-seed", remove, "secret: random seed"},
	{"etc/resolv.conf", remove, "the build machine's"},
	{"etc/adjtime", remove, "clock of the build machine"},
	{"root/.bash_history", remove, "build residue"},
	{"root/.lesshst", remove, "build residue"},
	{"etc/*-", remove, "backup files of passwd and group"},
	{"var/lib/dpkg/*-old", remove, "backup files of dpkg"},
	{"var/cache/debconf/*-old", remove, "backup files of debconf"},
	{"var/cache/ldconfig/aux-cache", remove, "holds times and inode numbers"},
	{"var/cache/apt/*.bin", remove, "cache"},
	{"var/cache/apt/archives/partial", keep, "the package apt brings it"},
	{"var/lib/apt/lists/partial", keep, "the package apt brings it"},
	{"var/cache/apt/archives", contents, "cache"},
	{"var/lib/apt/lists", contents, "cache"},
	{"var/lib/dpkg/lock-frontend", truncate, "lock"},
	{"var/log/alternatives.log", remove, "log of the build"},
	{"var/log/dpkg.log", remove, "log of the build"},
	{"var/log/bootstrap.log", remove, "log of the build"},
	{"var/log/apt", contents, "log of the build"},
	{"var/log/*.log", truncate, "log of the build"},
	{"var/log/journal", contents, "log of the build"},
	{"tmp", contents, "build residue"},
	{"var/tmp", contents, "build residue"},
	{"dev", contents, "made by the kernel"},
	{"proc", contents, "made by the kernel"},
	{"sys", contents, "made by the kernel"},
	{"run", contents, "made at boot"},
}

// machineID is the content of /etc/machine-id in an image: the word makes
// systemd treat the next boot as the first one (machine-id(5)); an empty file
// would not.
const machineID = "uninitialized\n"

// Scrub returns t without what never ships and with no time after epoch.
// Paths for which declared is true were asked for by the recipe and stay, with
// the folders that they are in.
func Scrub(t *tree.Tree, epoch time.Time, declared func(path string) bool) *tree.Tree {
	needed := map[string]bool{}
	for i := range t.Entries {
		if p := t.Entries[i].Path; declared(p) {
			for dir := path.Dir(p); dir != "." && !needed[dir]; dir = path.Dir(dir) {
				needed[dir] = true
			}
		}
	}
	gone := map[string]bool{}
	out := t.Without(func(e *tree.Entry) bool {
		if declared(e.Path) || needed[e.Path] {
			return false
		}
		action, hit := scrubbed(e.Path)
		drop := hit && (action == remove || action == contents) || gone[path.Dir(e.Path)]
		if drop {
			gone[e.Path] = true
		}
		return drop
	})
	for i := range out.Entries {
		e := &out.Entries[i]
		if !declared(e.Path) {
			if action, hit := scrubbed(e.Path); hit && action == truncate && e.Type == tree.File {
				e.Source, e.Content, e.Data, e.Size = "", nil, nil, 0
			}
			if e.Path == "etc/machine-id" {
				*e = tree.Entry{Path: e.Path, Type: tree.File, Mode: 0o444, Data: []byte(machineID), Size: int64(len(machineID))}
				e.MTime = epoch
			}
		}
		if e.MTime.After(epoch) {
			e.MTime = epoch
		}
	}
	return out
}

func scrubbed(p string) (scrubAction, bool) {
	for _, r := range scrubRules {
		if r.pattern[0] != p[0] { // most paths; no pattern begins with a wildcard
			continue
		}
		if r.action == contents {
			if strings.HasPrefix(p, r.pattern+"/") {
				return r.action, true
			}
			continue
		}
		if ok, err := path.Match(r.pattern, p); err == nil && ok {
			return r.action, true
		}
	}
	return 0, false
}

// ScrubTable is the list of what never ships, for the documentation.
func ScrubTable() string {
	var b strings.Builder
	b.WriteString("| path | what happens | why |\n| --- | --- | --- |\n")
	what := map[scrubAction]string{remove: "removed", truncate: "emptied", contents: "folder emptied", keep: "kept"}
	for _, r := range scrubRules {
		fmt.Fprintf(&b, "| `/%s` | %s | %s |\n", r.pattern, what[r.action], r.why)
	}
	b.WriteString("| `/etc/machine-id` | the word `uninitialized` | identity; first boot makes one |\n")
	return b.String()
}
