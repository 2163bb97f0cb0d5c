package customise

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"cloudy/builder/fail"
	"cloudy/builder/recipe"
	"cloudy/builder/tree"
)

// Ranges of ids as Debian hands them out (Debian Policy 9.2.2).
const (
	firstSystemID, lastSystemID = 100, 999
	firstUserID, lastUserID     = 1000, 59999
	firstSubID, subIDs          = 100000, 65536 // subuid(5), as useradd gives
)

// accounts is the image's passwd, group, shadow and gshadow, line by line in
// the order of the files.
type accounts struct {
	d                              *Delta
	passwd, group, shadow, gshadow [][]string
	subuid, subgid                 [][]string
	changed                        bool
	later                          []homeOf // made when all files are there
}

// homeOf is the home folder of an account that the recipe names.
type homeOf struct {
	user  *recipe.User
	fresh bool // the account is new
}

func readAccounts(d *Delta) (*accounts, error) {
	a := &accounts{d: d}
	for p, table := range a.tables() {
		text, err := d.read(p)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(text) {
			*table = append(*table, strings.Split(strings.TrimSuffix(line, "\n"), ":"))
		}
	}
	return a, nil
}

func (a *accounts) tables() map[string]*[][]string {
	return map[string]*[][]string{
		"etc/passwd": &a.passwd, "etc/group": &a.group, "etc/shadow": &a.shadow, "etc/gshadow": &a.gshadow,
		"etc/subuid": &a.subuid, "etc/subgid": &a.subgid,
	}
}

// save writes the tables back when something changed.
func (a *accounts) save() error {
	if !a.changed {
		return nil
	}
	modes := map[string]uint32{"etc/shadow": 0o640, "etc/gshadow": 0o640}
	for p, table := range a.tables() {
		if len(*table) == 0 {
			continue
		}
		var b strings.Builder
		for _, f := range *table {
			b.WriteString(strings.Join(f, ":") + "\n")
		}
		mode, ok := modes[p]
		if !ok {
			mode = 0o644
		}
		if err := a.d.rewrite(p, mode, b.String()); err != nil {
			return err
		}
	}
	return nil
}

func line(table [][]string, name string) []string {
	for _, f := range table {
		if f[0] == name {
			return f
		}
	}
	return nil
}

// id returns the id in a name's line, or the number that name is.
func id(table [][]string, name string) (uint32, error) {
	if f := line(table, name); len(f) > 2 {
		n, err := strconv.ParseUint(f[2], 10, 32)
		return uint32(n), err
	}
	n, err := strconv.ParseUint(name, 10, 32)
	if err != nil {
		return 0, fail.Mark(fail.User, fmt.Errorf("the image has no account or group %q", name))
	}
	return uint32(n), nil
}

// owner resolves the owner and group of a file, root when they are not given.
func (a *accounts) owner(user, group string) (uid, gid uint32, err error) {
	if user != "" {
		if uid, err = id(a.passwd, user); err != nil {
			return 0, 0, err
		}
	}
	if group != "" {
		gid, err = id(a.group, group)
	}
	return uid, gid, err
}

// free returns the first unused id of a range, in passwd and in group.
func (a *accounts) free(first, last int) (int, error) {
	used := map[string]bool{}
	for _, t := range [][][]string{a.passwd, a.group} {
		for _, f := range t {
			if len(f) > 2 {
				used[f[2]] = true
			}
		}
	}
	for n := first; n <= last; n++ {
		if !used[strconv.Itoa(n)] {
			return n, nil
		}
	}
	return 0, fmt.Errorf("no id is free between %d and %d", first, last)
}

func (a *accounts) addGroups(list []recipe.Group) error {
	for i := range list {
		g := &list[i]
		if f := line(a.group, g.Name); f != nil {
			if g.GID != nil && f[2] != strconv.FormatInt(*g.GID, 10) {
				return fail.Mark(fail.User, recipe.At(g.Range, fmt.Errorf("group %q has the id %s already", g.Name, f[2])))
			}
			continue
		}
		if err := a.addGroup(g.Name, g.GID, g.System); err != nil {
			return recipe.At(g.Range, fmt.Errorf("group %q: %w", g.Name, err))
		}
	}
	return nil
}

func (a *accounts) addGroup(name string, want *int64, system bool) error {
	gid, err := a.pick(want, system)
	if err != nil {
		return err
	}
	if owner := holder(a.group, gid); owner != "" {
		return fail.Mark(fail.User, fmt.Errorf("the id %s belongs to group %q", gid, owner))
	}
	a.changed = true
	a.group = append(a.group, []string{name, "x", gid, ""})
	a.gshadow = append(a.gshadow, []string{name, "!", "", ""})
	return nil
}

// holder returns the name that has an id, or "".
func holder(table [][]string, id string) string {
	for _, f := range table {
		if len(f) > 2 && f[2] == id {
			return f[0]
		}
	}
	return ""
}

func (a *accounts) pick(want *int64, system bool) (string, error) {
	if want != nil {
		return strconv.FormatInt(*want, 10), nil
	}
	first, last := firstUserID, lastUserID
	if system {
		first, last = firstSystemID, lastSystemID
	}
	n, err := a.free(first, last)
	return strconv.Itoa(n), err
}

func (a *accounts) addUsers(list []recipe.User) error {
	for i := range list {
		if err := a.addUser(&list[i]); err != nil {
			return recipe.At(list[i].Range, fmt.Errorf("user %q: %w", list[i].Name, err))
		}
	}
	return nil
}

func (a *accounts) addUser(u *recipe.User) error {
	a.changed = true
	p := line(a.passwd, u.Name)
	fresh := p == nil
	if fresh {
		var err error
		if p, err = a.newUser(u); err != nil {
			return err
		}
		a.passwd = append(a.passwd, p)
		a.shadow = append(a.shadow, []string{u.Name, "!", a.today(), "0", "99999", "7", "", "", ""})
	}
	if u.Comment != "" {
		p[4] = u.Comment
	}
	if u.Home != "" {
		p[5] = u.Home
	}
	if u.Shell != "" {
		p[6] = u.Shell
	}
	if s := line(a.shadow, u.Name); len(s) > 2 {
		switch {
		case u.Lock:
			s[1] = "!" + strings.TrimLeft(u.PasswordHash, "!")
		case u.NoPassword:
			s[1] = ""
		case u.PasswordHash != "":
			s[1] = u.PasswordHash
		}
		if u.Lock || u.NoPassword || u.PasswordHash != "" {
			s[2] = a.today()
		}
	}
	for _, g := range u.Groups {
		if err := a.join(u.Name, g.Value); err != nil {
			return recipe.At(g.Range, err)
		}
	}
	a.later = append(a.later, homeOf{u, fresh})
	return nil
}

// today is the day of the epoch, as shadow(5) counts.
func (a *accounts) today() string { return strconv.FormatInt(a.d.epoch.Unix()/86400, 10) }

func (a *accounts) newUser(u *recipe.User) ([]string, error) {
	uid, err := a.pick(u.UID, u.System)
	if err != nil {
		return nil, err
	}
	if owner := holder(a.passwd, uid); owner != "" {
		return nil, fail.Mark(fail.User, fmt.Errorf("the id %s belongs to user %q", uid, owner))
	}
	group := u.Group
	if group == "" {
		group = u.Name
		if line(a.group, group) == nil {
			n, err := strconv.ParseInt(uid, 10, 64)
			if err != nil {
				return nil, err
			}
			want := &n
			if holder(a.group, uid) != "" { // as useradd: the same id if it can be had
				want = nil
			}
			if err := a.addGroup(group, want, u.System); err != nil {
				return nil, err
			}
		}
	}
	gid, err := id(a.group, group)
	if err != nil {
		return nil, err
	}
	home, shell := "/home/"+u.Name, "/bin/bash"
	if u.System {
		home, shell = "/nonexistent", "/usr/sbin/nologin"
	} else if len(a.subuid) > 0 || a.d.find("etc/subuid") != nil {
		a.subuid = append(a.subuid, subRange(u.Name, a.subuid))
		a.subgid = append(a.subgid, subRange(u.Name, a.subgid))
	}
	return []string{u.Name, "x", uid, strconv.FormatUint(uint64(gid), 10), u.Comment, home, shell}, nil
}

func subRange(name string, table [][]string) []string {
	next := firstSubID
	for _, f := range table {
		if len(f) == 3 {
			start, err1 := strconv.Atoi(f[1])
			count, err2 := strconv.Atoi(f[2])
			if err1 == nil && err2 == nil {
				next = max(next, start+count)
			}
		}
	}
	return []string{name, strconv.Itoa(next), strconv.Itoa(subIDs)}
}

// join makes the user a member of a group.
func (a *accounts) join(user, group string) error {
	f := line(a.group, group)
	if f == nil {
		return fail.Mark(fail.User, fmt.Errorf("the image has no group %q", group))
	}
	for _, t := range [][]string{f, line(a.gshadow, group)} {
		if len(t) < 4 {
			continue
		}
		members := strings.FieldsFunc(t[3], func(r rune) bool { return r == ',' })
		has := false
		for _, m := range members {
			has = has || m == user
		}
		if !has {
			t[3] = strings.Join(append(members, user), ",")
		}
	}
	return nil
}

// homes makes the home folders of new ordinary users out of /etc/skel, as it
// is with all overlays, and writes SSH keys. What the recipe puts into a home
// itself stays.
func (a *accounts) homes() error {
	for _, h := range a.later {
		if err := a.home(h.user, line(a.passwd, h.user.Name), h.fresh); err != nil {
			return recipe.At(h.user.Range, fmt.Errorf("user %q: %w", h.user.Name, err))
		}
	}
	return nil
}

func (a *accounts) home(u *recipe.User, p []string, fresh bool) error {
	uid, err := id(nil, p[2])
	if err != nil {
		return err
	}
	gid, err := id(nil, p[3])
	if err != nil {
		return err
	}
	home := strings.Trim(p[5], "/")
	if fresh && !u.System && home != "" && a.d.base.Find(home) == nil {
		if !a.d.asked[home] { // perhaps there as the folder of a file
			if err := a.d.put(tree.Entry{Path: home, Type: tree.Dir, Mode: 0o700, UID: uid, GID: gid}); err != nil {
				return err
			}
		}
		for _, e := range a.d.below("etc/skel") {
			e.Path, e.UID, e.GID = path.Join(home, strings.TrimPrefix(e.Path, "etc/skel/")), uid, gid
			if e.Type == tree.Hardlink || e.Type != tree.Dir && a.d.find(e.Path) != nil || a.d.asked[e.Path] {
				continue
			}
			if err := a.d.put(e); err != nil {
				return err
			}
		}
	}
	if len(u.SSHAuthorizedKeys) == 0 {
		return nil
	}
	if ssh := home + "/.ssh"; !a.d.asked[ssh] {
		if err := a.d.put(tree.Entry{Path: ssh, Type: tree.Dir, Mode: 0o700, UID: uid, GID: gid}); err != nil {
			return err
		}
	}
	file := home + "/.ssh/authorized_keys"
	if a.d.Declares(file) { // a file or an overlay says more
		return nil
	}
	keys := strings.Join(u.SSHAuthorizedKeys, "\n") + "\n"
	return a.d.put(tree.Entry{
		Path: file, Type: tree.File, Mode: 0o600, UID: uid, GID: gid, Data: []byte(keys), Size: int64(len(keys)),
	})
}
