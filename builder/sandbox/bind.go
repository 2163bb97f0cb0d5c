package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// bindSource is a bind on init's side.
type bindSource struct {
	bindSpec
	file *os.File // a detached mount; in ModePlain an open file
}

func bindFiles(specs []bindSpec, files []*os.File) ([]bindSource, error) {
	list := make([]bindSource, len(specs))
	for i, s := range specs {
		list[i].bindSpec = s
		if !s.File {
			continue
		}
		if len(files) == 0 {
			return nil, errors.New("malformed request: a bind without its file")
		}
		list[i].file, files = files[0], files[1:]
	}
	return list, nil
}

// bound is a bind that is in force.
type bound struct {
	target  string
	mounted bool     // in init's own mount namespace
	ours    identity // ModePlain: the file that we put there
	held    string   // ModePlain: where the tree's own file waits, or empty
}

// bind puts b in force in the mount namespace of the calling thread.
func (p *initProc) bind(b bindSource) (*bound, error) {
	bd, err := p.bindAt(b)
	if err != nil {
		return nil, fmt.Errorf("bind over %s: %w", b.Target, err)
	}
	return bd, nil
}

func (p *initProc) bindAt(b bindSource) (*bound, error) {
	target, err := resolve(b.Target)
	if err != nil {
		return nil, err
	}
	if p.mode == ModePlain {
		return p.place(b, target)
	}
	source := b.file
	if source == nil {
		if source, err = stage(b.Data, b.Mode); err != nil {
			return nil, err
		}
		defer source.Close()
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(source.Fd()), &st); err != nil {
		return nil, err
	}
	if err := p.marks.make(target, st.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
		return nil, err
	}
	err = attach(int(source.Fd()), target)
	if err == nil && b.ReadOnly {
		err = remountReadOnly(target)
	}
	if err != nil {
		unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) // when it was the flags that failed
		p.marks.release(target)
		return nil, err
	}
	return &bound{target: target}, nil
}

// stage makes a detached mount of a new file with the given content.
func stage(data []byte, mode uint32) (*os.File, error) {
	// A passing tmpfs, on a directory of ours, in a namespace where nothing runs yet.
	const dir, file = "/dev/shm", "/dev/shm/data"
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return nil, err
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	if mode == 0 {
		mode = 0o644
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return nil, err
	}
	if err := os.Chmod(file, os.FileMode(mode)); err != nil {
		return nil, err
	}
	fd, err := cloneTree(file, false)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), file), nil
}

// unbind undoes binds, the last first. It must not run on a thread that has a mount namespace of its own.
func (p *initProc) unbind(list []*bound) {
	for i := len(list) - 1; i >= 0; i-- {
		b := list[i]
		if b == nil {
			continue
		}
		if p.mode == ModePlain {
			p.unplace(b)
		} else if b.mounted {
			unix.Unmount(b.target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		}
		p.marks.release(b.target)
	}
}

// cleanUp takes all back that the session put into the tree.
func (p *initProc) cleanUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, j := range p.byID { // killed, but perhaps not collected
		p.unbind(j.bound)
		delete(p.byID, id)
	}
	unix.Chdir("/")
	p.unbind(p.session)
	p.session = nil
}

// resolve follows the symbolic links of an absolute path inside the current
// root, the last one too, and returns a path without any. Components that do
// not exist are kept as they are.
func resolve(name string) (string, error) {
	if !path.IsAbs(name) {
		return "", fmt.Errorf("%q is not an absolute path", name)
	}
	done, todo := "/", strings.Split(path.Clean(name), "/")
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done)
			continue
		}
		next := path.Join(done, part)
		to, err := os.Readlink(next)
		if err != nil { // not a link, or not there
			done = next
			continue
		}
		if links++; links > 40 { // MAXSYMLINKS, linux/namei.h
			return "", fmt.Errorf("%s: %w", name, unix.ELOOP)
		}
		if path.IsAbs(to) {
			done = "/"
		}
		todo = append(strings.Split(to, "/"), todo...)
	}
	return done, nil
}

// identity is what tells a file from one that took its place.
type identity struct{ dev, ino uint64 }

func identify(name string) (identity, error) {
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		return identity{}, err
	}
	return identity{uint64(st.Dev), st.Ino}, nil
}

// placeholders are the empty files and directories that were made in the tree
// to mount on. The zero value is ready.
type placeholders struct {
	mu   sync.Mutex
	made map[string]*placeholder
	uses map[string]int
}

type placeholder struct {
	id  identity
	dir bool
}

// make sees to it that name exists, and counts its use. The directory above
// looks untouched afterwards.
func (ph *placeholders) make(name string, dir bool) error {
	ph.mu.Lock()
	defer ph.mu.Unlock()
	if ph.made == nil {
		ph.made, ph.uses = map[string]*placeholder{}, map[string]int{}
	}
	if err := ph.create(name, dir); err != nil {
		return err
	}
	for d := name; d != "/"; d = path.Dir(d) {
		if ph.made[d] != nil {
			ph.uses[d]++
		}
	}
	return nil
}

func (ph *placeholders) create(name string, dir bool) error {
	if _, err := os.Lstat(name); err == nil || name == "/" {
		return nil
	}
	if err := ph.create(path.Dir(name), true); err != nil {
		return err
	}
	err := keepTime(path.Dir(name), func() error {
		if dir {
			return os.Mkdir(name, 0o755)
		}
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		return f.Close()
	})
	if err != nil {
		return err
	}
	id, err := identify(name)
	if err != nil {
		return err
	}
	ph.made[name] = &placeholder{id, dir}
	return nil
}

// release ends a use. What nobody uses any more is removed, if it still is what was made and is empty.
func (ph *placeholders) release(name string) {
	ph.mu.Lock()
	defer ph.mu.Unlock()
	for d := name; d != "/" && d != "."; d = path.Dir(d) {
		p := ph.made[d]
		if p == nil {
			continue
		}
		if ph.uses[d]--; ph.uses[d] > 0 {
			continue
		}
		delete(ph.made, d)
		delete(ph.uses, d)
		if id, err := identify(d); err != nil || id != p.id {
			continue
		}
		if fi, err := os.Lstat(d); err != nil || !p.dir && fi.Size() > 0 {
			continue
		}
		keepTime(path.Dir(d), func() error { return os.Remove(d) })
	}
}

// keepTime runs change and gives the directory the modification time back that it had before.
func keepTime(dir string, change func() error) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, dir, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, st.Mtim}, 0)
}
