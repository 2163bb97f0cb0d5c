package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Meta describes a layer to people and to the collector.
type Meta struct {
	Key         string            `json:"key"`
	Description string            `json:"description"`      // one line, for `cloudy cache ls`
	Inputs      map[string]string `json:"inputs,omitempty"` // what the key was made of: name to digest or value; explains a miss
	Size        int64             `json:"size"`             // bytes on the disk; Commit counts them when it is 0
	Created     time.Time         `json:"created"`
	Boot        string            `json:"boot,omitempty"` // id of the kernel's boot that wrote it; filled by Commit
}

// Layer is a complete directory tree in the store. It must not be written
// to. It stays while the Store that returned it is open.
type Layer struct {
	Meta
	Used time.Time // last use before this one

	dir string
}

// Dir is the root of the layer's tree.
func (l *Layer) Dir() string { return filepath.Join(l.dir, "tree") }

// Beside is the path of a file that is kept with the layer whose Dir is dir, and
// goes with it. It is for what was found out about the layer and can be found
// out again: no manifest covers it.
func Beside(dir, name string) string { return filepath.Join(filepath.Dir(dir), name) }

// pendingDirSuffix tells a pending layer's directory in tmp from its lock.
const pendingDirSuffix = ".d"

func checkKey(key string) error {
	if len(key) < 8 || len(key) > 128 || strings.Trim(key, "0123456789abcdef") != "" {
		return fmt.Errorf("layer key %q: want 8 to 128 lower-case hexadecimal digits", key)
	}
	return nil
}

// Layer returns the layer of that key, and whether it is there. It counts as
// used now, and no collection takes it while this Store is open. A layer
// that a power cut may have damaged is verified against its manifest, or
// dropped where it has none.
func (s *Store) Layer(key string) (*Layer, bool) {
	if checkKey(key) != nil {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.useLayer(key)
	if err != nil {
		return nil, false
	}
	if !s.trusted(l) && s.verifyLayer(context.Background(), l) != nil {
		s.use[key].Close()
		delete(s.use, key)
		s.dropLayer(key)
		return nil, false
	}
	return l, true
}

// useLayer opens the layer and takes its shared lock. s.mu is held.
func (s *Store) useLayer(key string) (*Layer, error) {
	dir := s.path("layers", key)
	path := filepath.Join(dir, "use")
	if f := s.use[key]; f != nil && !sameFile(f, path) {
		f.Close() // somebody removed it by hand
		delete(s.use, key)
	}
	if s.use[key] == nil {
		f, err := openLocked(path, os.O_RDWR, unix.LOCK_SH)
		if err != nil {
			return nil, err
		}
		s.use[key] = f
	}
	l, err := readLayer(dir)
	if err != nil {
		s.use[key].Close()
		delete(s.use, key)
		return nil, err
	}
	touch(path)
	return l, nil
}

func readLayer(dir string) (*Layer, error) {
	l := &Layer{dir: dir}
	data, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &l.Meta); err != nil {
		return nil, fmt.Errorf("layer %s: meta.json: %w", filepath.Base(dir), err)
	}
	if _, err := os.Lstat(l.Dir()); err != nil {
		return nil, err
	}
	info, err := os.Stat(filepath.Join(dir, "use"))
	if err != nil {
		return nil, err
	}
	l.Used = info.ModTime()
	return l, nil
}

// Pending is a layer being filled. End it with Commit or Abort; a process
// that dies leaves it to the next Open to be removed.
type Pending struct {
	store *Store
	key   string
	lock  *os.File // in tmp, flock'd while we live
	dir   string   // what becomes layers/KEY
	ended bool
}

// NewLayer starts the layer of that key: fill Dir, then Commit.
func (s *Store) NewLayer(key string) (*Pending, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	lock, err := s.newTemp("layer-" + key[:8])
	if err != nil {
		return nil, hostError(s.dir, fmt.Errorf("new layer: %w", err))
	}
	p := &Pending{store: s, key: key, lock: lock, dir: lock.Name() + pendingDirSuffix}
	err = os.Mkdir(p.dir, 0o755)
	if err == nil {
		err = os.Mkdir(p.Dir(), 0o755)
	}
	if err == nil {
		// Past the umask: this is going to be the / of an image.
		err = os.Chmod(p.Dir(), 0o755)
	}
	if err != nil {
		p.Abort()
		return nil, hostError(s.dir, fmt.Errorf("new layer: %w", err))
	}
	return p, nil
}

// Dir is the empty directory (mode 0755) to fill.
func (p *Pending) Dir() string { return filepath.Join(p.dir, "tree") }

// Scratch is a directory beside Dir, on the same file system, for what must
// not become part of the layer (an overlay's work directory). Commit and
// Abort remove it.
func (p *Pending) Scratch() (string, error) {
	dir := filepath.Join(p.dir, "scratch")
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", hostError(p.store.dir, err)
	}
	return dir, nil
}

// Commit puts the layer into the store under its key. manifest may be nil;
// with one (see Manifest) the layer can be verified. When another build was
// faster, its layer is returned with an error that wraps ErrExists, and this
// one is removed.
func (p *Pending) Commit(meta Meta, manifest []byte) (*Layer, error) {
	s := p.store
	l, err := p.commit(meta, manifest)
	if err != nil {
		p.Abort()
	}
	if err != nil && !errors.Is(err, ErrExists) {
		err = hostError(s.dir, err)
	}
	if err != nil {
		return l, fmt.Errorf("commit layer %s: %w", p.key, err)
	}
	return l, nil
}

func (p *Pending) commit(meta Meta, manifest []byte) (*Layer, error) {
	s := p.store
	if err := removeTree(filepath.Join(p.dir, "scratch")); err != nil {
		return nil, err
	}
	meta.Key, meta.Boot = p.key, s.bootID
	if meta.Created.IsZero() {
		meta.Created = time.Now().UTC()
	}
	if meta.Size == 0 {
		var err error
		if meta.Size, err = treeSize(p.Dir()); err != nil {
			return nil, err
		}
	}
	data, err := json.MarshalIndent(meta, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(p.dir, "meta.json"), append(data, '\n'), 0o644); err != nil {
		return nil, err
	}
	if manifest != nil {
		if err := os.WriteFile(filepath.Join(p.dir, "manifest"), manifest, 0o644); err != nil {
			return nil, err
		}
	}
	use, err := openLocked(filepath.Join(p.dir, "use"), os.O_RDWR|os.O_CREATE, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	if s.bootID == "" && !s.noSync {
		if err := p.syncNow(); err != nil {
			use.Close()
			return nil, err
		}
	}
	if l, err := p.rename(); err != nil {
		use.Close()
		return l, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.use[p.key]; old != nil {
		old.Close()
	}
	s.use[p.key] = use
	p.end()
	return &Layer{Meta: meta, Used: meta.Created, dir: s.path("layers", p.key)}, nil
}

// rename puts the finished directory into its place. Where something stands
// that is no whole layer, that is removed first; a whole layer is returned
// with ErrExists, in use by us so that it stays.
func (p *Pending) rename() (*Layer, error) {
	s := p.store
	for try := 0; ; try++ {
		err := os.Rename(p.dir, s.path("layers", p.key))
		if err == nil {
			return nil, nil
		}
		if (!errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENOTEMPTY)) || try == 3 {
			return nil, err
		}
		if l, ok := s.Layer(p.key); ok {
			return l, ErrExists
		}
		s.mu.Lock()
		err = s.dropLayer(p.key)
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
}

// Abort removes what was made so far. It does nothing after Commit, so it
// can be deferred.
func (p *Pending) Abort() error {
	if p.ended {
		return nil
	}
	err := removeTree(p.dir)
	p.end()
	if err != nil {
		return fmt.Errorf("abort layer %s: %w", p.key, err)
	}
	return nil
}

func (p *Pending) end() {
	p.ended = true
	os.Remove(p.lock.Name())
	p.lock.Close()
}

// dropLayer takes a layer out of the store unless a process uses it. It
// returns errBusy then.
func (s *Store) dropLayer(key string) error {
	dir := s.path("layers", key)
	use, err := openLocked(filepath.Join(dir, "use"), os.O_RDWR, unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, os.ErrNotExist):
		// Not there, or without its lock: nothing that Layer would return.
		if _, serr := os.Lstat(dir); errors.Is(serr, os.ErrNotExist) {
			return nil
		}
	case err != nil:
		return err
	default:
		defer use.Close()
	}
	lock, err := s.newTemp("drop")
	if err != nil {
		return err
	}
	defer lock.Close()
	defer os.Remove(lock.Name())
	dead := lock.Name() + pendingDirSuffix
	if err := os.Rename(dir, dead); err != nil {
		return err
	}
	return removeTree(dead)
}

// DropLayer removes a layer, for instance one that its user found damaged.
// A layer that another process uses stays, and the error says so; this
// Store's own use does not count.
func (s *Store) DropLayer(key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.use[key]; f != nil {
		f.Close()
		delete(s.use, key)
	}
	if err := s.dropLayer(key); err != nil {
		return hostError(s.dir, fmt.Errorf("drop layer %s: %w", key, err))
	}
	return nil
}
