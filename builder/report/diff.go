package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"cloudy/builder/tree"
)

// PackageChange is a package that both sides have in different versions.
type PackageChange struct {
	Name         string `json:"name"`
	Architecture string `json:"architecture"`
	From         string `json:"from"`
	To           string `json:"to"`
	Content      bool   `json:"content,omitempty"` // the version is the same, the .deb is not
}

// PackageDiff is how two sets of packages differ.
type PackageDiff struct {
	Added   []Package       `json:"added"`
	Removed []Package       `json:"removed"`
	Changed []PackageChange `json:"changed"`
}

// Empty says whether there is no difference.
func (d *PackageDiff) Empty() bool { return len(d.Added)+len(d.Removed)+len(d.Changed) == 0 }

// DiffPackages compares two sets of packages: of two roots, or of two locks.
// Digests are compared where both sides have them.
func DiffPackages(from, to []Package) PackageDiff {
	d := PackageDiff{Added: []Package{}, Removed: []Package{}, Changed: []PackageChange{}}
	old := map[string]Package{}
	for _, p := range from {
		old[p.key()] = p
	}
	for _, p := range to {
		was, ok := old[p.key()]
		delete(old, p.key())
		switch {
		case !ok:
			d.Added = append(d.Added, p)
		case was.Version != p.Version:
			d.Changed = append(d.Changed, PackageChange{Name: p.Name, Architecture: p.Architecture, From: was.Version, To: p.Version})
		case was.SHA256 != p.SHA256 && was.SHA256 != "" && p.SHA256 != "":
			d.Changed = append(d.Changed, PackageChange{p.Name, p.Architecture, was.Version, p.Version, true})
		}
	}
	for _, p := range old {
		d.Removed = append(d.Removed, p)
	}
	sortPackages(d.Added)
	sortPackages(d.Removed)
	slices.SortFunc(d.Changed, func(a, b PackageChange) int {
		return strings.Compare(a.Name+":"+a.Architecture, b.Name+":"+b.Architecture)
	})
	return d
}

// FileInfo is what a difference says of one side of a file.
type FileInfo struct {
	Type  string `json:"type"` // file, folder, link, device, pipe
	Mode  string `json:"mode"` // octal, with setuid, setgid and sticky
	Owner string `json:"owner"`
	Size  int64  `json:"size"`
	Link  string `json:"link,omitempty"`
}

// FileChange is a name that both sides have, with what differs: any of type,
// mode, owner, size, content, link, device, attributes, time.
type FileChange struct {
	Path string   `json:"path"`
	What []string `json:"what"`
	From FileInfo `json:"from"`
	To   FileInfo `json:"to"`
}

// FileEntry is a name that one side has.
type FileEntry struct {
	Path string `json:"path"`
	FileInfo
}

// Diff is how two roots differ. From and To are their sizes in bytes.
type Diff struct {
	Packages PackageDiff  `json:"packages"`
	Added    []FileEntry  `json:"added"`
	Removed  []FileEntry  `json:"removed"`
	Changed  []FileChange `json:"changed"`
	From     int64        `json:"from_size"`
	To       int64        `json:"to_size"`
}

// Empty says whether there is no difference.
func (d *Diff) Empty() bool {
	return d.Packages.Empty() && len(d.Added)+len(d.Removed)+len(d.Changed) == 0
}

// DiffOptions says what counts as a difference.
type DiffOptions struct {
	Times  bool     // times of modification as well
	Ignore []string // path.Match patterns; one that matches a folder covers all below it
}

// DiffRoots compares two roots, each file's content included. Patterns that
// are no patterns are an error.
func DiffRoots(ctx context.Context, from, to *Root, opts DiffOptions) (*Diff, error) {
	for _, p := range opts.Ignore {
		if _, err := path.Match(p, ""); err != nil {
			return nil, fmt.Errorf("pattern %q: %w", p, err)
		}
	}
	d := &Diff{Added: []FileEntry{}, Removed: []FileEntry{}, Changed: []FileChange{}, From: from.Size(), To: to.Size()}
	oldPackages, err := packagesIfAny(from)
	if err != nil {
		return nil, err
	}
	newPackages, err := packagesIfAny(to)
	if err != nil {
		return nil, err
	}
	d.Packages = DiffPackages(oldPackages, newPackages)
	a, b := from.Entries, to.Entries
	for len(a) > 0 || len(b) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		order := -1 // an entry of the old side alone
		switch {
		case len(a) == 0:
			order = 1
		case len(b) > 0:
			order = tree.Compare(a[0].Path, b[0].Path)
		}
		switch {
		case order < 0:
			if !ignored(a[0].Path, opts.Ignore) {
				d.Removed = append(d.Removed, FileEntry{a[0].Path, fileInfo(from, &a[0])})
			}
			a = a[1:]
		case order > 0:
			if !ignored(b[0].Path, opts.Ignore) {
				d.Added = append(d.Added, FileEntry{b[0].Path, fileInfo(to, &b[0])})
			}
			b = b[1:]
		default:
			if !ignored(a[0].Path, opts.Ignore) {
				what, err := compareEntries(from, to, &a[0], &b[0], opts)
				if err != nil {
					return nil, err
				}
				if len(what) > 0 {
					d.Changed = append(d.Changed, FileChange{a[0].Path, what, fileInfo(from, &a[0]), fileInfo(to, &b[0])})
				}
			}
			a, b = a[1:], b[1:]
		}
	}
	return d, nil
}

func packagesIfAny(t *Root) ([]Package, error) {
	list, err := Packages(t)
	if errors.Is(err, ErrNoPackages) {
		return nil, nil
	}
	return list, err
}

func ignored(p string, patterns []string) bool {
	for _, pattern := range patterns {
		pattern = strings.Trim(pattern, "/")
		for at := p; at != "."; at = path.Dir(at) {
			if ok, _ := path.Match(pattern, at); ok {
				return true
			}
		}
	}
	return false
}

func compareEntries(from, to *Root, a, b *tree.Entry, opts DiffOptions) ([]string, error) {
	var what []string
	note := func(differs bool, name string) {
		if differs {
			what = append(what, name)
		}
	}
	// Names of one file differ as links, and in what the file is.
	note((a.Type == tree.Hardlink || b.Type == tree.Hardlink) && a.Link != b.Link, "link")
	a, b = from.file(a), to.file(b)
	if a.Type != b.Type {
		return append(what, "type"), nil
	}
	if a.Type != tree.Symlink { // a link's own mode means nothing
		note(a.Mode != b.Mode, "mode")
	}
	note(a.UID != b.UID || a.GID != b.GID, "owner")
	note(a.Size != b.Size, "size")
	note(a.Type == tree.Symlink && a.Link != b.Link, "link")
	note(a.Major != b.Major || a.Minor != b.Minor, "device")
	note(!slices.EqualFunc(a.Xattrs, b.Xattrs, func(x, y tree.Xattr) bool {
		return x.Name == y.Name && bytes.Equal(x.Value, y.Value)
	}), "attributes")
	note(opts.Times && !a.MTime.Equal(b.MTime), "time")
	if a.Type == tree.File && a.Size == b.Size {
		same, err := sameContent(from, to, a, b)
		if err != nil {
			return nil, err
		}
		note(!same, "content")
	}
	return what, nil
}

func sameContent(from, to *Root, a, b *tree.Entry) (bool, error) {
	if a.Size == 0 || a.Source != "" && a.Source == b.Source {
		return true, nil
	}
	ra, err := from.open(a)
	if err != nil {
		return false, err
	}
	defer ra.Close()
	rb, err := to.open(b)
	if err != nil {
		return false, err
	}
	defer rb.Close()
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := fill(ra, bufA)
		m, errB := fill(rb, bufB)
		if !bytes.Equal(bufA[:n], bufB[:m]) {
			return false, nil
		}
		for _, err := range []error{errA, errB} {
			if err != nil && err != io.EOF {
				return false, fmt.Errorf("read %s: %w", a.Path, err)
			}
		}
		if errA != nil || errB != nil {
			return errA != nil && errB != nil, nil
		}
	}
}

func fileInfo(t *Root, e *tree.Entry) FileInfo {
	f := t.file(e)
	info := FileInfo{Mode: fmt.Sprintf("%04o", f.Mode), Owner: fmt.Sprintf("%d:%d", f.UID, f.GID), Size: f.Size, Link: e.Link}
	switch f.Type {
	case tree.Dir:
		info.Type = "folder"
	case tree.File:
		info.Type = "file"
	case tree.Symlink:
		info.Type = "link"
	case tree.Fifo:
		info.Type = "pipe"
	default:
		info.Type = "device"
		info.Link = fmt.Sprintf("%c %d:%d", f.Type, f.Major, f.Minor)
	}
	return info
}
