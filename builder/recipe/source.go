package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Source is where a module is read from: a folder, one file, or what is
// embedded in the program. It can reach nothing outside its folder.
type Source struct {
	fsys   fs.FS
	only   string // the one file that is the module; empty for all *.hcl
	prefix string // stands before names of files in diagnostics

	mu    sync.Mutex
	blobs map[string]Blob // every file is hashed once
	seen  map[string]Input
}

// Kinds of Input.
const (
	KindRecipe    = "recipe"    // a *.hcl file of the module
	KindVariables = "variables" // a *.auto.vars.hcl file
	KindInclude   = "include"   // read by file(), templatefile(), source and so on
	KindKeyring   = "keyring"
	KindOverlay   = "overlay"
)

// Input is a file that went into the module.
type Input struct {
	Kind   string
	Name   string // in the recipe folder, slash-separated
	SHA256 string // hexadecimal
}

// NewSource reads the module from the top of fsys. prefix is put before
// names of files in diagnostics.
func NewSource(fsys fs.FS, prefix string) *Source {
	return &Source{fsys: fsys, prefix: prefix, seen: map[string]Input{}, blobs: map[string]Blob{}}
}

// OpenSource reads the module from a folder of the host, or from one *.hcl
// file in it. Symbolic links out of the folder are refused.
func OpenSource(name string) (*Source, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("open recipe: %w", err)
	}
	dir, only := name, ""
	if !info.IsDir() {
		dir, only = filepath.Dir(name), filepath.Base(name)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open recipe folder: %w", err)
	}
	prefix := filepath.ToSlash(filepath.Clean(dir))
	if prefix == "." {
		prefix = ""
	}
	s := NewSource(root.FS(), prefix)
	s.only = only
	return s, nil
}

// show is the name of a file as diagnostics give it.
func (s *Source) show(name string) string { return path.Join(s.prefix, name) }

// validName says whether a name stays inside the folder.
func validName(name string) bool { return fs.ValidPath(path.Clean(name)) }

// list returns the files of the module and the *.auto.vars.hcl files.
func (s *Source) list() (module, auto []string, err error) {
	entries, err := fs.ReadDir(s.fsys, ".")
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case e.IsDir() || strings.HasPrefix(name, "."):
		case strings.HasSuffix(name, autoSuffix):
			auto = append(auto, name)
		case strings.HasSuffix(name, varSuffix):
		case s.only != "" && name != s.only:
		case strings.HasSuffix(name, LabSuffix) && name != s.only:
		case strings.HasSuffix(name, ".hcl") || name == s.only:
			module = append(module, name)
		}
	}
	boards, err := s.boardFiles()
	if err != nil {
		return nil, nil, err
	}
	module = append(module, boards...)
	slices.Sort(module)
	slices.Sort(auto)
	return module, auto, nil
}

// read returns a file's content and notes it as an input.
func (s *Source) read(name, kind string) ([]byte, error) {
	if strings.HasPrefix(name, "/") || !validName(name) {
		return nil, fmt.Errorf("%s is outside of the recipe folder", name)
	}
	name = path.Clean(name)
	data, err := fs.ReadFile(s.fsys, name)
	if err != nil {
		return nil, plainPathError(err)
	}
	sum := sha256.Sum256(data)
	s.note(kind, name, hex.EncodeToString(sum[:]))
	return data, nil
}

// blob returns a file's content by reference, and notes it as an input.
func (s *Source) blob(name, kind string) (Blob, error) {
	name = path.Clean(name)
	s.mu.Lock()
	known, ok := s.blobs[name]
	s.mu.Unlock()
	if ok {
		s.note(kind, name, known.SHA256)
		return known, nil
	}
	f, err := s.fsys.Open(name)
	if err != nil {
		return Blob{}, plainPathError(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return Blob{}, plainPathError(err)
	} else if !info.Mode().IsRegular() {
		return Blob{}, fmt.Errorf("%s is not a regular file", name)
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return Blob{}, plainPathError(err)
	}
	sum := hex.EncodeToString(h.Sum(nil))
	s.note(kind, name, sum)
	b := Blob{SHA256: sum, Size: n, open: func() (io.ReadCloser, error) {
		f, err := s.fsys.Open(name)
		if err != nil {
			return nil, err
		}
		return &verified{f: f, name: s.show(name), hash: sha256.New(), want: sum}, nil
	}}
	s.mu.Lock()
	s.blobs[name] = b
	s.mu.Unlock()
	return b, nil
}

func (s *Source) note(kind, name, sum string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[kind+"\x00"+name] = Input{Kind: kind, Name: name, SHA256: sum}
}

// inputs returns all files read so far, by kind and name.
func (s *Source) inputs() []Input {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Input
	for _, in := range s.seen {
		out = append(out, in)
	}
	slices.SortFunc(out, func(a, b Input) int { return compareStrings(a.Kind+"\x00"+a.Name, b.Kind+"\x00"+b.Name) })
	return out
}

// plainPathError takes the operation out of a path error: "motd.tpl: file
// does not exist".
func plainPathError(err error) error {
	var pe *fs.PathError
	if !errors.As(err, &pe) {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", pe.Path, fs.ErrNotExist)
	}
	return fmt.Errorf("%s: %w", pe.Path, pe.Err)
}

// errChanged is what reading a file says that is not what was loaded.
var errChanged = errors.New("changed while the build ran")

// verified fails at its end when the content is not what it was at loading.
type verified struct {
	f    fs.File
	name string
	hash hash.Hash
	want string
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.f.Read(p)
	v.hash.Write(p[:n])
	if err == io.EOF && hex.EncodeToString(v.hash.Sum(nil)) != v.want {
		return n, fmt.Errorf("read %s: %w", v.name, errChanged)
	}
	return n, err
}

func (v *verified) Close() error { return v.f.Close() }
