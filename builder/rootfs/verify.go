package rootfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
	"time"

	"cloudy/builder/fail"
	"cloudy/builder/tree"
)

// ErrIdentity is a secret or an identity in a finished tree.
var ErrIdentity = errors.New("an image must not hold what two machines could share")

// secretFolders are searched for private keys; packages ship keys for tests
// and examples elsewhere.
var secretFolders = []string{"etc/", "root/", "home/", "var/", "opt/", "srv/"}

// maxSecret is the largest file that is searched, in bytes; keys are smaller.
const maxSecret = 64 << 10

var privateKeyMarks = [][]byte{
	[]byte("PRIVATE KEY-----"), []byte("-----BEGIN PGP PRIVATE KEY BLOCK"), []byte("AGE-SECRET-KEY-1"),
}

// invitation is what lets its holder into a mesh (firstboot/README.md).
var invitation = regexp.MustCompile(`cloudy1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}`)

// Verify fails when t holds a private key, a machine's identity or a time
// after epoch. Paths for which declared is true were given by the recipe, on
// purpose, and may be keys.
func Verify(t *tree.Tree, epoch time.Time, declared func(path string) bool) error {
	var found []string
	for i := range t.Entries {
		e := &t.Entries[i]
		if e.MTime.After(epoch) {
			found = append(found, fmt.Sprintf("/%s is newer than the build's epoch", e.Path))
		}
		file := e
		if e.Type == tree.Hardlink {
			file = t.Find(e.Link)
		}
		if file == nil || file.Type != tree.File || declared(e.Path) {
			continue
		}
		why, err := secret(e.Path, file)
		if err != nil {
			return fmt.Errorf("verify /%s: %w", e.Path, err)
		}
		if why != "" {
			found = append(found, "/"+e.Path+" "+why)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return fail.WithHint(fail.Build, fmt.Errorf("verify: %w:\n  %s", ErrIdentity, strings.Join(found, "\n  ")),
		"remove the file in a run block, or declare it with a file block when it is meant to be shared")
}

// secret says what makes a file under the name p a secret, or "".
func secret(p string, e *tree.Entry) (string, error) {
	switch {
	case strings.HasPrefix(path.Base(p), "ssh_host_"):
		return "is an SSH host key", nil
	case path.Base(p) == "random-seed":
		return "is a random seed", nil
	}
	if e.Size == 0 || e.Size > maxSecret || !inSecretFolder(p) {
		return "", nil
	}
	r, err := e.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	if p == "etc/machine-id" && string(data) != machineID {
		return "has the id of a machine", nil
	}
	if invitation.Match(data) {
		return "holds an invitation into a mesh", nil
	}
	for _, mark := range privateKeyMarks {
		if bytes.Contains(data, mark) {
			return "holds a private key", nil
		}
	}
	return "", nil
}

func inSecretFolder(p string) bool {
	if strings.HasPrefix(p, "var/lib/dpkg/") {
		return false // maintainer scripts speak of keys
	}
	for _, f := range secretFolders {
		if strings.HasPrefix(p, f) {
			return true
		}
	}
	return false
}
