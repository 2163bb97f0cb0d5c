package iso9660

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// ErrInvalid means that a volume is not what the format says.
var ErrInvalid = errors.New("no ISO 9660 volume that can be read")

// File is a file or folder of a volume that is read.
type File struct {
	Path   string // by Rock Ridge's name, or the plain one
	Dir    bool
	Offset int64 // bytes from the beginning of the volume
	Size   int64 // bytes
}

// maxExtents bounds what is read of a volume, and maxFolder a folder's list
// in bytes.
const (
	maxExtents = 1 << 20
	maxFolder  = 64 << 20
)

// List returns the files and folders of a volume, without its root, in the
// order of its directories. Names that take a continuation area are cut where
// that begins.
func List(r io.ReaderAt) ([]File, error) {
	primary := make([]byte, Sector)
	if _, err := r.ReadAt(primary, 16*Sector); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if string(primary[1:6]) != "CD001" || primary[0] != 1 { // ECMA-119, 8.4
		return nil, fmt.Errorf("%w: no primary descriptor", ErrInvalid)
	}
	root, err := parse(primary[156:190])
	if err != nil {
		return nil, err
	}
	root.Path = ""
	var out []File
	seen := map[int64]bool{root.Offset: true}
	for todo := []File{root}; len(todo) > 0; {
		dir := todo[0]
		todo = todo[1:]
		list, err := folder(r, dir)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			e.Path = path.Join(dir.Path, e.Path)
			if out = append(out, e); len(out) > maxExtents {
				return nil, fmt.Errorf("%w: more than %d files", ErrInvalid, maxExtents)
			}
			if !e.Dir {
				continue
			}
			if seen[e.Offset] {
				return nil, fmt.Errorf("%w: the folder %s stands elsewhere, too", ErrInvalid, e.Path)
			}
			seen[e.Offset] = true
			todo = append(todo, e)
		}
	}
	return out, nil
}

// folder reads the records of a folder but "." and "..". None reaches over
// the end of a sector (ECMA-119, 6.8.1.1).
func folder(r io.ReaderAt, dir File) ([]File, error) {
	if dir.Size > maxFolder {
		return nil, fmt.Errorf("%w: the folder %s has %d bytes", ErrInvalid, dir.Path, dir.Size)
	}
	b := make([]byte, dir.Size)
	if n, err := r.ReadAt(b, dir.Offset); n < len(b) {
		return nil, fmt.Errorf("%w: the folder %s: %w", ErrInvalid, dir.Path, err)
	}
	var out []File
	for at := 0; at < len(b); {
		n := int(b[at])
		if n == 0 {
			at = (at/Sector + 1) * Sector
			continue
		}
		if at+n > len(b) {
			return nil, fmt.Errorf("%w: a record of the folder %s is cut", ErrInvalid, dir.Path)
		}
		e, err := parse(b[at : at+n])
		if err != nil {
			return nil, fmt.Errorf("in the folder %s: %w", dir.Path, err)
		}
		at += n
		if e.Path != "\x00" && e.Path != "\x01" {
			out = append(out, e)
		}
	}
	return out, nil
}

// parse reads a directory record (ECMA-119, 9.1).
func parse(b []byte) (File, error) {
	if len(b) < recordHead+1 || recordHead+int(b[32]) > len(b) || b[32] == 0 {
		return File{}, fmt.Errorf("%w: a record of %d bytes", ErrInvalid, len(b))
	}
	le := binary.LittleEndian
	id := b[recordHead : recordHead+int(b[32])]
	e := File{Offset: int64(le.Uint32(b[2:])) * Sector, Size: int64(le.Uint32(b[10:])), Dir: b[25]&flagDir != 0, Path: string(id)}
	if e.Path == "\x00" || e.Path == "\x01" {
		return e, nil
	}
	e.Path, _, _ = strings.Cut(e.Path, ";")
	use := b[recordHead+len(id):]
	if len(id)%2 == 0 && len(use) > 0 {
		use = use[1:] // padding to an even place
	}
	name := ""
	for len(use) >= 5 && int(use[2]) >= 5 && int(use[2]) <= len(use) { // SUSP, 4.1
		if string(use[:2]) == "NM" {
			name += string(use[5:use[2]])
		}
		use = use[use[2]:]
	}
	if name != "" {
		e.Path = name
	}
	if e.Path == "." || e.Path == ".." || strings.ContainsAny(e.Path, "/\x00") {
		return File{}, fmt.Errorf("%w: the name %q", ErrInvalid, e.Path)
	}
	return e, nil
}
