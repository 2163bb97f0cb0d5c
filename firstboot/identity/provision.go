package identity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/seed"
)

// Provisioned is what a seed gave the system, kept so that no other seed
// changes it again.
type Provisioned struct {
	seed.Provision
	At int64 `json:"at"` // Unix seconds by the node's clock, which may be wrong
}

// provisionedFile is its name in the state folder.
const provisionedFile = "provisioned.json"

func (f Files) provisioned() string { return f.path(filepath.Join(f.State, provisionedFile)) }

// Provisioned returns what the system was given; ok is false when nothing was.
func (f Files) Provisioned() (p Provisioned, ok bool) {
	err := durable.ReadJSON(f.provisioned(), &p)
	return p, err == nil
}

// Provision gives the system the keys and users of the seeds, and remembers
// it with the host name, of which the first one counts. What fails is told and
// the rest done: the way in through SSH is worth more than all of it.
func (f Files) Provision(ctx context.Context, list []seed.Provision) []error {
	var all Provisioned
	var errs []error
	for _, p := range list {
		if p.Empty() {
			continue
		}
		if all.HostName == "" {
			all.HostName = p.HostName
		}
		all.SSHKeys = append(all.SSHKeys, p.SSHKeys...)
		all.Users = append(all.Users, p.Users...)
		if all.Origin != "" {
			all.Origin += ", "
		}
		all.Origin += p.Origin
	}
	if all.Empty() {
		return nil
	}
	if len(all.SSHKeys) > 0 {
		errs = append(errs, f.authorize(account{name: "root", home: "/root"}, all.SSHKeys))
	}
	for _, u := range all.Users {
		errs = append(errs, f.addUser(ctx, u))
	}
	all.At = time.Now().Unix()
	errs = append(errs, durable.WriteJSON(f.provisioned(), all))
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// account is a line of /etc/passwd.
type account struct {
	name, home string
	uid, gid   int
}

func (f Files) account(name string) (account, bool) {
	data, err := os.ReadFile(f.path("etc/passwd"))
	if err != nil {
		return account{}, false
	}
	for line := range strings.Lines(string(data)) {
		x := strings.Split(strings.TrimSpace(line), ":")
		if len(x) < 7 || x[0] != name {
			continue
		}
		uid, err1 := strconv.Atoi(x[2])
		gid, err2 := strconv.Atoi(x[3])
		return account{name, x[5], uid, gid}, err1 == nil && err2 == nil && filepath.IsAbs(x[5])
	}
	return account{}, false
}

// authorize lets keys log in as the account; those that may already stay.
func (f Files) authorize(a account, keys []string) error {
	dir := f.path(filepath.Join(a.home, ".ssh"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, "authorized_keys")
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := string(old)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	for _, k := range keys {
		if !slices.Contains(strings.Split(text, "\n"), k) {
			text += k + "\n"
		}
	}
	if _, err := durable.Update(path, []byte(text), 0o600); err != nil {
		return err
	}
	if a.uid == 0 {
		return nil
	}
	return errors.Join(os.Lchown(dir, a.uid, a.gid), os.Lchown(path, a.uid, a.gid))
}

// addUser makes an account unless it is there, and lets its keys in.
func (f Files) addUser(ctx context.Context, u seed.User) error {
	a, ok := f.account(u.Name)
	if !ok {
		args := []string{"--create-home", "--user-group", "--shell", "/bin/bash", "--comment", u.Comment}
		if u.Shell != "" {
			args[3] = u.Shell
		}
		if groups := f.groups(u.Groups); len(groups) > 0 {
			args = append(args, "--groups", strings.Join(groups, ","))
		}
		if filepath.Clean(f.Root) != "/" {
			args = append(args, "--prefix", f.Root)
		}
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if out, err := exec.CommandContext(ctx, "useradd", append(args, u.Name)...).CombinedOutput(); err != nil {
			return fmt.Errorf("user %s: %w: %.200s", u.Name, err, out)
		}
		if u.PasswordHash != "" {
			args := []string{"--encrypted"}
			if filepath.Clean(f.Root) != "/" {
				args = append(args, "--root", f.Root)
			}
			// Through a pipe: arguments can be read by everybody.
			cmd := exec.CommandContext(ctx, "chpasswd", args...)
			cmd.Stdin = strings.NewReader(u.Name + ":" + u.PasswordHash + "\n")
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("password of user %s: %w: %.200s", u.Name, err, out)
			}
		}
		if a, ok = f.account(u.Name); !ok {
			return fmt.Errorf("user %s was made and is not there", u.Name)
		}
	}
	if a.uid < 1000 {
		return fmt.Errorf("user %s is the system's own, it gets no keys", u.Name)
	}
	if u.Sudo {
		// visudo's form; no dot in the name, or sudo passes over the file.
		path := f.path("etc/sudoers.d/90-cloudy-" + u.Name)
		if _, err := durable.Update(path, []byte(u.Name+" ALL=(ALL:ALL) NOPASSWD: ALL\n"), 0o440); err != nil {
			return err
		}
	}
	if len(u.SSHKeys) == 0 {
		return nil
	}
	return f.authorize(a, u.SSHKeys)
}

// groups returns those that there are.
func (f Files) groups(want []string) []string {
	data, _ := os.ReadFile(f.path("etc/group"))
	return slices.DeleteFunc(slices.Clone(want), func(g string) bool {
		return !strings.HasPrefix(string(data), g+":") && !strings.Contains(string(data), "\n"+g+":")
	})
}

// Own gives the state folder, and more folders, to the account that the
// daemon runs as, where there is one. Only root can; elsewhere it is nothing.
func (f Files) Own(name string, folders ...string) error {
	a, ok := f.account(name)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	for _, dir := range append([]string{f.State}, folders...) {
		dir = f.path(dir)
		mode := fs.FileMode(0o700)
		if err := os.MkdirAll(dir, mode); err != nil {
			return err
		}
		if err := a.own(dir); err != nil {
			return err
		}
	}
	return nil
}

// own gives the account a folder with all that is in it. A daemon that was
// taken over could put links there, to be given what they lead to: none is
// followed out of the folder, and a file with several names stays whose it is.
func (a account) own(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := root.Lstat(path)
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().IsRegular() && st.Nlink > 1 {
			return nil
		}
		return root.Lchown(path, a.uid, a.gid)
	})
}
