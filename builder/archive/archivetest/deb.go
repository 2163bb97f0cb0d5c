package archivetest

import (
	"archive/tar"
	"bytes"
	"crypto/md5"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"
	"time"
)

// Package is one .deb to make.
type Package struct {
	Name         string
	Version      string            // "": 1.0
	Architecture string            // "": all
	Component    string            // "": main
	Fields       string            // more lines of the control file: "Depends: a, b\nEssential: yes"
	Scripts      map[string]string // "postinst" to its text, mode 0755
	Control      map[string]string // other files of control.tar: "conffiles", "triggers", "templates"
	Files        Files
	Extra        []tar.Header // put into data.tar as they are, after Files: for hostile archives
	Compression  string       // of both members: ".xz", ".gz", ".zst" or "none"; "": ".xz"
}

// Files are the entries of a package by absolute path. Directories above
// them come by themselves.
type Files map[string]File

// File is one entry: a regular file unless Type, Link or HardLink say
// something else.
type File struct {
	Content  string
	Mode     fs.FileMode // permissions with setuid, setgid and sticky; 0: 0644, directories 0755
	Link     string      // target of a symbolic link
	HardLink string      // absolute path of another entry
	Type     byte        // tar.TypeDir, tar.TypeFifo, tar.TypeChar or tar.TypeBlock
	UID, GID int
	Time     time.Time // zero: Date
	Major    int64
	Minor    int64
}

func (p Package) version() string {
	if p.Version == "" {
		return "1.0"
	}
	return p.Version
}

func (p Package) arch() string {
	if p.Architecture == "" {
		return "all"
	}
	return p.Architecture
}

func (p Package) component() string {
	if p.Component == "" {
		return "main"
	}
	return p.Component
}

// FileName is the name of the .deb: without the epoch, as in a pool.
func (p Package) FileName() string {
	v := p.version()
	if _, after, ok := strings.Cut(v, ":"); ok {
		v = after
	}
	return fmt.Sprintf("%s_%s_%s.deb", p.Name, v, p.arch())
}

func (p Package) poolPath() string {
	return path.Join("pool", p.component(), p.Name[:1], p.Name, p.FileName())
}

// control is the control file.
func (p Package) control() string {
	size := int64(0)
	for _, f := range p.Files {
		size += int64(len(f.Content)+1023) / 1024
	}
	text := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: Test <test@example.org>\nInstalled-Size: %d\n",
		p.Name, p.version(), p.arch(), size)
	if p.Fields != "" {
		text += strings.TrimRight(p.Fields, "\n") + "\n"
	}
	return text + "Description: " + p.Name + " for tests\n It does nothing.\n"
}

// Deb returns the .deb file (deb(5)).
func (p Package) Deb() ([]byte, error) {
	ending := p.Compression
	switch ending {
	case "":
		ending = ".xz"
	case "none":
		ending = ""
	}
	control, err := p.controlTar()
	if err != nil {
		return nil, err
	}
	data, err := p.dataTar()
	if err != nil {
		return nil, err
	}
	if control, err = Compress(ending, control); err != nil {
		return nil, err
	}
	if data, err = Compress(ending, data); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString("!<arch>\n")
	member(&out, "debian-binary", []byte("2.0\n"))
	member(&out, "control.tar"+ending, control)
	member(&out, "data.tar"+ending, data)
	return out.Bytes(), nil
}

// member appends one member of an ar archive: a header of 60 bytes, the data
// and a newline that makes their length even.
func member(out *bytes.Buffer, name string, data []byte) {
	fmt.Fprintf(out, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", name, Date.Unix(), 0, 0, 0o100644, len(data))
	out.Write(data)
	if len(data)%2 == 1 {
		out.WriteByte('\n')
	}
}

func (p Package) controlTar() ([]byte, error) {
	files := map[string]string{"control": p.control()}
	modes := map[string]int64{}
	if sums := p.md5sums(); sums != "" {
		files["md5sums"] = sums
	}
	for name, text := range p.Control {
		files[name] = text
	}
	for name, text := range p.Scripts {
		files[name], modes[name] = text, 0o755
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(header("./", tar.TypeDir, 0o755)); err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(files) {
		h := header("./"+name, tar.TypeReg, 0o644)
		if m := modes[name]; m != 0 {
			h.Mode = m
		}
		h.Size = int64(len(files[name]))
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return buf.Bytes(), err
}

// md5sums is the file that debhelper makes: conffiles are not in it.
func (p Package) md5sums() string {
	conffiles := "\n" + p.Control["conffiles"] + "\n"
	var b strings.Builder
	for _, name := range sortedKeys(p.Files) {
		f := p.Files[name]
		if f.Type != 0 || f.Link != "" || f.HardLink != "" || strings.Contains(conffiles, "\n"+name+"\n") {
			continue
		}
		fmt.Fprintf(&b, "%x  %s\n", md5.Sum([]byte(f.Content)), strings.TrimPrefix(name, "/"))
	}
	return b.String()
}

func header(name string, kind byte, mode int64) *tar.Header {
	return &tar.Header{Name: name, Typeflag: kind, Mode: mode, ModTime: Date,
		Uname: "root", Gname: "root", Format: tar.FormatGNU}
}

func (p Package) dataTar() ([]byte, error) {
	all := Files{}
	for name, f := range p.Files {
		name = path.Clean(name)
		all[name] = f
		for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
			if _, ok := p.Files[dir]; !ok {
				all[dir] = File{Type: tar.TypeDir}
			}
		}
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(header("./", tar.TypeDir, 0o755)); err != nil {
		return nil, err
	}
	names := sortedKeys(all)
	// A hard link comes after what it points to.
	sort.SliceStable(names, func(i, j int) bool { return all[names[i]].HardLink == "" && all[names[j]].HardLink != "" })
	for _, name := range names {
		f := all[name]
		if err := w.WriteHeader(f.header(name)); err != nil {
			return nil, err
		}
		if f.regular() {
			if _, err := w.Write([]byte(f.Content)); err != nil {
				return nil, err
			}
		}
	}
	for _, h := range p.Extra {
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return buf.Bytes(), err
}

func (f File) regular() bool { return f.Type == 0 && f.Link == "" && f.HardLink == "" }

func (f File) header(name string) *tar.Header {
	h := header("."+name, tar.TypeReg, 0o644)
	switch {
	case f.Link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.Link, 0o777
	case f.HardLink != "":
		h.Typeflag, h.Linkname = tar.TypeLink, "."+f.HardLink
	case f.Type == tar.TypeDir:
		h.Typeflag, h.Name, h.Mode = tar.TypeDir, h.Name+"/", 0o755
	case f.Type != 0:
		h.Typeflag, h.Devmajor, h.Devminor = f.Type, f.Major, f.Minor
	default:
		h.Size = int64(len(f.Content))
	}
	if f.Mode != 0 {
		h.Mode = int64(f.Mode.Perm())
		for bit, mode := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
			if f.Mode&bit != 0 {
				h.Mode |= mode
			}
		}
	}
	h.Uid, h.Gid = f.UID, f.GID
	if f.UID != 0 {
		h.Uname = ""
	}
	if f.GID != 0 {
		h.Gname = ""
	}
	if !f.Time.IsZero() {
		h.ModTime = f.Time
	}
	return h
}
