package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// enterPlain is enterRoot for a container that lets root mount nothing: the
// root is changed, devices are made in the tree for the time being, and
// orphans come to init so that they can be found at the end.
func (p *initProc) enterPlain() error {
	if len(p.setup.Layers) > 0 {
		return fmt.Errorf("%w: it needs CAP_SYS_ADMIN", ErrNoOverlay)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("collect orphans: %w", err)
	}
	var err error
	if p.proc, err = os.OpenRoot("/proc"); err != nil {
		return err
	}
	if err := unix.Chroot(p.setup.Dir); err != nil {
		return fmt.Errorf("change root to %s: %w", p.setup.Dir, err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	dev, err := resolve("/dev")
	if err != nil {
		return err
	}
	if err := p.marks.make(dev, true); err != nil {
		return err
	}
	p.session = append(p.session, &bound{target: dev})
	for _, n := range nodes {
		name := path.Join(dev, n.name)
		if _, err := os.Lstat(name); err == nil {
			continue
		}
		bd := &bound{target: name}
		err := keepTime(dev, func() error { return makeNode(name, n.major, n.minor) })
		if err != nil {
			if n.name != "null" {
				continue
			}
			// Every script writes to it. A file swallows that as well, and reads as empty at first.
			if err := keepTime(dev, func() error { return os.WriteFile(name, nil, 0o666) }); err != nil {
				return fmt.Errorf("make /dev/null: %w", err)
			}
		}
		if bd.ours, err = identify(name); err != nil {
			return err
		}
		p.session = append(p.session, bd)
	}
	return nil
}

// place puts a file into the tree for the time being; what was there waits beside it.
func (p *initProc) place(b bindSource, target string) (*bound, error) {
	data := b.Data
	if b.file != nil {
		fi, err := b.file.Stat()
		if err != nil {
			return nil, err
		}
		if !fi.Mode().IsRegular() {
			return nil, fmt.Errorf("only files can be shown without CAP_SYS_ADMIN: %w", errors.ErrUnsupported)
		}
		if data, err = io.ReadAll(io.NewSectionReader(b.file, 0, fi.Size())); err != nil {
			return nil, err
		}
		b.Mode = uint32(fi.Mode().Perm())
	}
	dir := path.Dir(target)
	if err := p.marks.make(dir, true); err != nil {
		return nil, err
	}
	bd := &bound{target: target}
	err := keepTime(dir, func() error {
		if fi, err := os.Lstat(target); err == nil {
			if fi.IsDir() {
				return unix.EISDIR
			}
			bd.held = path.Join(dir, "."+path.Base(target)+".cloudy-held")
			if err := os.Rename(target, bd.held); err != nil {
				return err
			}
		}
		mode := os.FileMode(b.Mode)
		if mode == 0 {
			mode = 0o644
		}
		if err := os.WriteFile(target, data, 0o600); err != nil {
			return err
		}
		return os.Chmod(target, mode)
	})
	if err == nil {
		bd.ours, err = identify(target)
	}
	if err != nil {
		if bd.held != "" {
			os.Rename(bd.held, target)
		}
		p.marks.release(dir)
		return nil, err
	}
	return bd, nil
}

// unplace takes a placed file away again. A file that a command put in its
// place is the tree's from now on.
func (p *initProc) unplace(b *bound) {
	if b.ours == (identity{}) {
		return
	}
	dir := path.Dir(b.target)
	id, err := identify(b.target)
	switch {
	case err == nil && id != b.ours:
		if b.held != "" {
			keepTime(dir, func() error { return os.Remove(b.held) })
		}
	case b.held != "":
		keepTime(dir, func() error { return os.Rename(b.held, b.target) })
	case err == nil:
		keepTime(dir, func() error { return os.Remove(b.target) })
	}
	p.marks.release(dir)
}
