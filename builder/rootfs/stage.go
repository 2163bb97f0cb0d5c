package rootfs

import (
	"archive/tar"
	"context"
	"crypto/md5" //nolint:gosec // dpkg's database holds MD5 sums
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"cloudy/builder/deb"
	"cloudy/builder/fail"
)

// metadata is what the control part of a package says.
type metadata struct {
	name    string
	arch    string
	same    bool // Multi-Arch: same
	control map[string]deb.ControlFile
	para    *deb.Paragraph // the parsed control file
}

// staged is one package decoded into the staging folder: regular files as
// numbered files on disk, everything else as a list.
type staged struct {
	metadata
	entries []stagedEntry // in the order of data.tar
}

// stagedEntry is one member of data.tar.
type stagedEntry struct {
	path     string // clean and relative: "usr/bin/tool"; "." is the root itself
	typ      byte   // tar.Type*
	mode     uint32
	uid, gid int
	mtime    time.Time
	link     string // symlink: as stored; hard link: clean path
	dev      uint64
	file     string // name in the staging folder
	md5      string // hex; only where the database needs it
}

// stager decodes packages into one flat folder. It is used by many
// goroutines at once.
type stager struct {
	dir  string
	fd   int // of dir
	next atomic.Int64
}

func newStager(dir string) (*stager, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open staging folder: %w", err)
	}
	return &stager{dir: dir, fd: fd}, nil
}

// close removes whatever is left in the staging folder.
func (s *stager) close() {
	unix.Close(s.fd)
	os.RemoveAll(s.dir)
}

// copyBuffer is the size of the buffer with which file contents are moved.
const copyBuffer = 256 << 10

// readMetadata reads the control part of the .deb at path.
func readMetadata(path string) (metadata, error) {
	f, err := os.Open(path)
	if err != nil {
		return metadata{}, err
	}
	defer f.Close()
	rd, err := deb.NewReader(f)
	if err != nil {
		return metadata{}, fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	defer rd.Close()
	return controlOf(rd, filepath.Base(path))
}

func controlOf(rd *deb.Reader, base string) (m metadata, err error) {
	if m.control, err = rd.Control(); err != nil {
		return m, fmt.Errorf("read control of %s: %w", base, err)
	}
	if m.para, err = deb.NewParagraphReader(strings.NewReader(string(m.control["control"].Data))).Next(); err != nil {
		return m, fmt.Errorf("read control file of %s: %w", base, err)
	}
	m.name, m.arch = m.para.Get("Package"), m.para.Get("Architecture")
	m.same = m.para.Get("Multi-Arch") == "same"
	if err := safeName(m.name); err != nil {
		return m, fmt.Errorf("control file of %s: %w", base, err)
	}
	return m, nil
}

// files lists what the package brings, as far as its control part says it:
// md5sums has all regular files but conffiles.
func (m *metadata) files(yield func(path string)) {
	for line := range strings.Lines(string(m.control["md5sums"].Data)) {
		if _, path, ok := strings.Cut(strings.TrimSpace(line), "  "); ok {
			yield(path)
		}
	}
	for path := range parseConffiles(m.control["conffiles"].Data) {
		yield(path)
	}
}

// stage decodes the .deb at path. buf is scratch space of the caller.
func (s *stager) stage(ctx context.Context, path string, buf []byte) (*staged, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	base := filepath.Base(path)
	rd, err := deb.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", base, err)
	}
	defer rd.Close()
	p := &staged{}
	if p.metadata, err = controlOf(rd, base); err != nil {
		return nil, err
	}
	data, err := rd.Data()
	if err != nil {
		return nil, fmt.Errorf("read data: %w", err)
	}
	_, hasSums := p.control["md5sums"]
	conffiles := parseConffiles(p.control["conffiles"].Data)
	links := map[string]bool{}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := data.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		e, err := s.member(h, data, func(path string) bool { return !hasSums || conffiles[path] != nil }, buf)
		if err != nil {
			return nil, fmt.Errorf("unpack %q: %w", h.Name, err)
		}
		switch e.typ {
		case tar.TypeSymlink:
			links[e.path] = true
		case tar.TypeChar, tar.TypeBlock:
			if l := above(e.path, links); l != "" {
				return nil, fail.Mark(fail.Build, fmt.Errorf("unpack %q: device behind the link /%s: %w", h.Name, l, errBadMember))
			}
		}
		p.entries = append(p.entries, e)
	}
	if err := rd.Finish(); err != nil {
		return nil, fmt.Errorf("read %s: %w", base, err)
	}
	return p, nil
}

// above returns which of the paths is a folder above p, or "".
func above(p string, paths map[string]bool) string {
	for d := path.Dir(p); d != "."; d = path.Dir(d) {
		if paths[d] {
			return d
		}
	}
	return ""
}

// errBadMember marks a member of data.tar that no package may have.
var errBadMember = errors.New("not allowed in a package")

func (s *stager) member(h *tar.Header, r io.Reader, wantSum func(string) bool, buf []byte) (stagedEntry, error) {
	path, err := deb.CleanPath(h.Name)
	if err != nil {
		return stagedEntry{}, fail.Mark(fail.Build, err)
	}
	e := stagedEntry{path: path, typ: h.Typeflag, mode: uint32(h.Mode) & 0o7777, uid: h.Uid, gid: h.Gid, mtime: h.ModTime}
	switch h.Typeflag {
	case tar.TypeReg:
		e.file = strconv.FormatInt(s.next.Add(1), 36)
		var sum hash.Hash
		if wantSum(path) {
			sum = md5.New() //nolint:gosec // see above
		}
		if err := s.write(e, r, h.Size, sum, buf); err != nil {
			return e, err
		}
		if sum != nil {
			e.md5 = hex.EncodeToString(sum.Sum(nil))
		}
	case tar.TypeSymlink:
		if e.link = h.Linkname; e.link == "" || strings.ContainsRune(e.link, 0) {
			return e, fail.Mark(fail.Build, fmt.Errorf("symbolic link to %q: %w", e.link, errBadMember))
		}
	case tar.TypeLink:
		if e.link, err = deb.CleanPath(h.Linkname); err != nil {
			return e, fail.Mark(fail.Build, err)
		}
	case tar.TypeDir, tar.TypeFifo:
	case tar.TypeChar, tar.TypeBlock:
		e.dev = unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
	default:
		return e, fail.Mark(fail.Build, fmt.Errorf("member of tar type %q: %w", h.Typeflag, errBadMember))
	}
	return e, nil
}

// write puts one regular file with its final owner, mode and time into the
// staging folder.
func (s *stager) write(e stagedEntry, r io.Reader, size int64, sum hash.Hash, buf []byte) error {
	fd, err := unix.Openat(s.fd, e.file, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for left := size; left > 0; {
		n, err := io.ReadFull(r, buf[:min(int64(len(buf)), left)])
		if err != nil {
			return fmt.Errorf("read content: %w", err)
		}
		if sum != nil {
			sum.Write(buf[:n])
		}
		for b := buf[:n]; len(b) > 0; {
			w, err := unix.Write(fd, b)
			if err != nil {
				if errors.Is(err, unix.EINTR) {
					continue
				}
				return hostErr(fmt.Errorf("write content: %w", err))
			}
			b = b[w:]
		}
		left -= int64(n)
	}
	if e.uid != 0 || e.gid != 0 {
		if err := unix.Fchown(fd, e.uid, e.gid); err != nil {
			return fmt.Errorf("chown to %d:%d: %w", e.uid, e.gid, err)
		}
	}
	if err := unix.Fchmod(fd, e.mode); err != nil {
		return fmt.Errorf("chmod: %w", err)
	}
	return setTime(s.fd, e.file, e.mtime)
}

// setTime sets access and modification time of a name without following it.
func setTime(dirfd int, name string, t time.Time) error {
	ts := unix.NsecToTimespec(t.UnixNano())
	if err := unix.UtimesNanoAt(dirfd, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set time: %w", err)
	}
	return nil
}

// hostErr marks errors that only the host's owner can mend.
func hostErr(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fail.WithHint(fail.Host, err, "the store's disk is full: free some space, run 'cloudy cache gc', or point --cache elsewhere")
	}
	return err
}

// conffile is one line of a package's conffiles member (deb-conffiles(5)).
type conffile struct {
	path   string // absolute, as written
	remove bool   // remove-on-upgrade
}

// parseConffiles returns the conffiles of a package by clean path.
func parseConffiles(data []byte) map[string]*conffile {
	out := map[string]*conffile{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		rest, remove := strings.CutPrefix(line, "remove-on-upgrade ")
		rest = strings.TrimSpace(rest)
		if path, err := deb.CleanPath("." + rest); err == nil && strings.HasPrefix(rest, "/") {
			out[path] = &conffile{path: rest, remove: remove}
		}
	}
	return out
}
