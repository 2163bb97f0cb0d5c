package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// xattrRecord starts the PAX records of extended attributes, as star, GNU tar
// and libarchive write them.
const xattrRecord = "SCHILY.xattr."

// TarOptions says how a tar archive names its entries.
type TarOptions struct {
	// Prefix stands before every name, for example "rootfs/". The root
	// directory itself becomes the prefix, or "./" when that is empty.
	Prefix string
	// Copied is told of the bytes of content written; nil for nobody.
	Copied func(n int64)
}

// WriteTar writes the tree as a tar archive in the PAX format (POSIX.1-2001,
// pax, "pax Interchange Format"): numeric owners alone, extended attributes as
// SCHILY.xattr records, and no record where the plain header has room, so that
// the same tree always gives the same bytes. It ends with ctx, and fails when
// a file's content is not as long as its entry says.
func (t *Tree) WriteTar(ctx context.Context, w io.Writer, opts TarOptions) error {
	tw := tar.NewWriter(w)
	buf := make([]byte, 256<<10)
	for i := range t.Entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		e := &t.Entries[i]
		hdr, err := tarHeader(e, opts.Prefix)
		if err != nil {
			return err
		}
		if err := tw.WriteHeader(hdr); err != nil {
			return fmt.Errorf("write %s to the archive: %w", e.Path, err)
		}
		if e.Type != File || e.Size == 0 {
			continue
		}
		if err := copyContent(tw, e, buf); err != nil {
			return fmt.Errorf("write %s to the archive: %w", e.Path, err)
		}
		if opts.Copied != nil {
			opts.Copied(e.Size)
		}
	}
	if err := tw.Close(); err != nil {
		return fmt.Errorf("end the archive: %w", err)
	}
	return nil
}

// onlyWriter hides ReadFrom of a tar.Writer, which would read a whole file
// with a small buffer of its own.
type onlyWriter struct{ io.Writer }

func copyContent(w io.Writer, e *Entry, buf []byte) error {
	if e.Size < int64(len(buf)) {
		n, err := e.ReadAt(buf[:e.Size+1], 0)
		if err == nil && int64(n) != e.Size {
			err = fmt.Errorf("%d bytes of content, or more, where %d were announced", n, e.Size)
		}
		if err == nil {
			_, err = w.Write(buf[:n])
		}
		return err
	}
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.CopyBuffer(onlyWriter{w}, struct{ io.Reader }{r}, buf)
	if err != nil {
		return err
	}
	if n != e.Size {
		return fmt.Errorf("%d bytes of content where %d were announced", n, e.Size)
	}
	return nil
}

func tarHeader(e *Entry, prefix string) (*tar.Header, error) {
	hdr := &tar.Header{
		Format:  tar.FormatPAX,
		Name:    prefix + e.Path,
		Mode:    int64(e.Mode & 0o7777),
		Uid:     int(e.UID),
		Gid:     int(e.GID),
		ModTime: e.MTime,
	}
	if e.MTime.IsZero() {
		hdr.ModTime = time.Unix(0, 0)
	}
	if e.Path == "." {
		if hdr.Name = prefix; prefix == "" {
			hdr.Name = "./"
		}
	}
	switch e.Type {
	case Dir:
		hdr.Typeflag = tar.TypeDir
		hdr.Name = strings.TrimSuffix(hdr.Name, "/") + "/"
	case File:
		hdr.Typeflag, hdr.Size = tar.TypeReg, e.Size
	case Symlink:
		hdr.Typeflag, hdr.Linkname = tar.TypeSymlink, e.Link
	case Hardlink:
		hdr.Typeflag, hdr.Linkname = tar.TypeLink, prefix+e.Link
	case Char:
		hdr.Typeflag = tar.TypeChar
	case Block:
		hdr.Typeflag = tar.TypeBlock
	case Fifo:
		hdr.Typeflag = tar.TypeFifo
	default:
		return nil, fmt.Errorf("write %s to the archive: unknown type %q", e.Path, byte(e.Type))
	}
	if e.Type == Char || e.Type == Block {
		hdr.Devmajor, hdr.Devminor = int64(e.Major), int64(e.Minor)
	}
	// The attributes of a hard link are those of the file that it names.
	if len(e.Xattrs) > 0 && e.Type != Hardlink {
		hdr.PAXRecords = make(map[string]string, len(e.Xattrs))
		for _, x := range e.Xattrs {
			hdr.PAXRecords[xattrRecord+x.Name] = string(x.Value)
		}
	}
	return hdr, nil
}

// ErrBadArchive is the cause of an error of ReadTar when the archive itself is
// wrong: a name that leaves the root, a hard link to nothing, an entry inside
// of something that is no directory.
var ErrBadArchive = errors.New("bad archive")

// keepInMemory is the size up to which ReadTar keeps a file in memory.
const keepInMemory = 4096

// ReadTar reads a tar archive (ustar, PAX or GNU) into a tree. Content goes to
// numbered files in spoolDir, that of small files into memory; the caller
// removes spoolDir when it is done with the tree. Of entries with one name the
// last holds. Directories that the archive leaves out appear with mode 0755
// and owner 0. What is wrong with an archive is an ErrBadArchive.
func ReadTar(r io.Reader, spoolDir string) (*Tree, error) {
	tr := tar.NewReader(r)
	entries := map[string]*Entry{".": {Path: ".", Type: Dir, Mode: 0o755}}
	for n := 0; ; n++ {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the archive: %w", err)
		}
		e, err := tarEntry(hdr)
		if err != nil {
			return nil, err
		}
		if e == nil {
			continue
		}
		if e.Type == File {
			if err := spool(e, tr, filepath.Join(spoolDir, strconv.Itoa(n))); err != nil {
				return nil, fmt.Errorf("read %s from the archive: %w", e.Path, err)
			}
		}
		if old := entries[e.Path]; old != nil && old.Source != "" {
			os.Remove(old.Source)
		}
		entries[e.Path] = e
	}
	return assemble(entries)
}

// tarEntry makes an entry without content out of a header, or nil for one
// that describes nothing in the tree.
func tarEntry(hdr *tar.Header) (*Entry, error) {
	p, err := insideRoot(hdr.Name)
	if err != nil {
		return nil, err
	}
	e := &Entry{
		Path: p, Mode: uint32(hdr.Mode) & 0o7777,
		UID: uint32(hdr.Uid), GID: uint32(hdr.Gid), MTime: hdr.ModTime,
	}
	switch hdr.Typeflag {
	case tar.TypeDir:
		e.Type = Dir
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		e.Type, e.Size = File, hdr.Size
	case tar.TypeSymlink:
		e.Type, e.Link = Symlink, hdr.Linkname
	case tar.TypeLink:
		e.Type = Hardlink
		if e.Link, err = insideRoot(hdr.Linkname); err != nil {
			return nil, err
		}
	case tar.TypeChar:
		e.Type = Char
	case tar.TypeBlock:
		e.Type = Block
	case tar.TypeFifo:
		e.Type = Fifo
	default:
		return nil, nil
	}
	if p == "." && e.Type != Dir {
		return nil, fmt.Errorf("%w: the root is not a directory", ErrBadArchive)
	}
	if e.Type == Char || e.Type == Block {
		e.Major, e.Minor = uint32(hdr.Devmajor), uint32(hdr.Devminor)
	}
	for name, value := range hdr.PAXRecords {
		if name, ok := strings.CutPrefix(name, xattrRecord); ok {
			e.Xattrs = append(e.Xattrs, Xattr{Name: name, Value: []byte(value)})
		}
	}
	slices.SortFunc(e.Xattrs, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return e, nil
}

// insideRoot cleans a name of an archive; one with ".." is refused even where
// it would stay inside, because nobody writes it in good faith.
func insideRoot(name string) (string, error) {
	if slices.Contains(strings.Split(name, "/"), "..") || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("%w: the name %q", ErrBadArchive, name)
	}
	return path.Clean(strings.TrimLeft("./"+strings.TrimLeft(name, "/"), "/")), nil
}

func spool(e *Entry, r io.Reader, file string) error {
	if e.Size <= keepInMemory {
		var b bytes.Buffer
		n, err := io.Copy(&b, r)
		if err == nil && n != e.Size {
			err = io.ErrUnexpectedEOF
		}
		e.Data = b.Bytes()
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		f.Close()
		return err
	}
	e.Source = file
	return f.Close()
}

// assemble sorts entries into a tree that keeps what Tree promises.
func assemble(entries map[string]*Entry) (*Tree, error) {
	for _, e := range entries {
		if e.Type == Hardlink {
			if target := entries[e.Link]; target == nil || target == e {
				return nil, fmt.Errorf("%w: %s is a hard link to %s, which is not there", ErrBadArchive, e.Path, e.Link)
			}
		}
	}
	var missing []string
	for p := range entries {
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			if parent := entries[dir]; parent == nil {
				missing = append(missing, dir)
			} else if parent.Type != Dir {
				return nil, fmt.Errorf("%w: %s is inside of %s, which is not a directory", ErrBadArchive, p, dir)
			}
		}
	}
	for _, dir := range missing {
		entries[dir] = &Entry{Path: dir, Type: Dir, Mode: 0o755}
	}
	if err := orderLinks(entries); err != nil {
		return nil, err
	}
	t := &Tree{Entries: make([]Entry, 0, len(entries))}
	for _, e := range entries {
		t.Entries = append(t.Entries, *e)
	}
	t.Sort()
	return t, nil
}

// orderLinks makes of all names of one file the first the File, and the others
// hard links to it.
func orderLinks(entries map[string]*Entry) error {
	names := map[*Entry][]*Entry{} // the File and its hard links
	for _, e := range entries {
		if e.Type != Hardlink {
			continue
		}
		target := entries[e.Link]
		// A link to a link to ... ends at the file, or goes in a circle.
		for hops := 0; target != nil && target.Type == Hardlink; hops++ {
			if hops > len(entries) {
				return fmt.Errorf("%w: the hard link %s goes in a circle", ErrBadArchive, e.Path)
			}
			target = entries[target.Link]
		}
		if target == nil || target.Type != File {
			return fmt.Errorf("%w: %s is a hard link to %s, which is not a file", ErrBadArchive, e.Path, e.Link)
		}
		names[target] = append(names[target], e)
	}
	for file, links := range names {
		first := file
		for _, l := range links {
			if Compare(l.Path, first.Path) < 0 {
				first = l
			}
		}
		for _, l := range links {
			l.Link = first.Path
		}
		if first != file {
			content, p := *file, first.Path
			*file = Entry{Path: file.Path, Type: Hardlink, Mode: content.Mode, UID: content.UID, GID: content.GID, MTime: content.MTime, Link: p}
			content.Path = p
			*first = content
		}
	}
	return nil
}
