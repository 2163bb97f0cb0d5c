package customise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"

	"cloudy/builder/tree"
)

// WriteTo writes the difference into an empty directory as an overlayfs
// upper layer: what goes away becomes a character device 0/0. dir must be on
// a filesystem where this process may make those.
func (d *Delta) WriteTo(dir string) error {
	for _, p := range d.whiteouts() {
		if err := d.folders(dir, p); err != nil {
			return err
		}
		if err := unix.Mknod(filepath.Join(dir, p), unix.S_IFCHR, 0); err != nil {
			return fmt.Errorf("mark /%s as gone: %w", p, err)
		}
	}
	for _, e := range d.Added() {
		if err := d.folders(dir, e.Path); err != nil {
			return err
		}
		if err := tree.WriteEntry(filepath.Join(dir, e.Path), &e); err != nil {
			return fmt.Errorf("/%s: %w", e.Path, err)
		}
	}
	return nil
}

// whiteouts are the names to mark as gone. A folder that was removed and made
// anew is merged with the old one, so it is what was in that that goes.
func (d *Delta) whiteouts() []string {
	var out []string
	for _, p := range d.Removed() {
		if d.inRemoved(path.Dir(p)) { // gone with its folder
			continue
		}
		if e, ok := d.added[p]; !ok {
			out = append(out, p)
		} else if e.Type == tree.Dir {
			out = append(out, d.emptied(p)...)
		}
	}
	return out
}

func (d *Delta) emptied(dir string) []string {
	var out []string
	for i := range d.base.Entries {
		p := d.base.Entries[i].Path
		if p == "." || path.Dir(p) != dir {
			continue
		}
		if e, ok := d.added[p]; !ok {
			out = append(out, p)
		} else if e.Type == tree.Dir && d.base.Entries[i].Type == tree.Dir {
			out = append(out, d.emptied(p)...)
		}
	}
	return out
}

// folders makes the folders of p in dir as they are in the tree.
func (d *Delta) folders(dir, p string) error {
	parent := path.Dir(p)
	if parent == "." {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(dir, parent)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.folders(dir, parent); err != nil {
		return err
	}
	e := d.find(parent)
	if e == nil || e.Type != tree.Dir {
		return fmt.Errorf("/%s is no folder", parent)
	}
	return tree.WriteEntry(filepath.Join(dir, parent), e)
}
