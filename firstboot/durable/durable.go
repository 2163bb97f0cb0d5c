// Package durable writes files so that a power cut at any moment leaves the
// old content or the new one, never half of either.
package durable

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// suffix marks a file that was being written. The star becomes random, so
// that two writers do not share one.
const suffix = ".cloudy-tmp"

// WriteFile replaces the file at path: beside it, synced, renamed, and the
// folder synced. The mode is exact, whatever the umask. Folders on the way
// are made with mode 0755.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	return write(path, data, func(f *os.File) error { return f.Chmod(mode) })
}

// Rewrite is WriteFile for a file that is there: it keeps its mode and owner.
// The old content is overwritten before it is given up, as far as the medium
// obeys: it held a secret.
func Rewrite(path string, data []byte) error {
	old, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer old.Close()
	info, err := old.Stat()
	if err != nil {
		return err
	}
	err = write(path, data, func(f *os.File) error {
		// The owner first: a change of it takes bits of the mode.
		if st, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
			if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil {
				return err
			}
		}
		return f.Chmod(info.Mode().Perm())
	})
	if err != nil {
		return err
	}
	_, err = old.WriteAt(make([]byte, info.Size()), 0)
	return errors.Join(err, old.Sync())
}

// write writes a file that prepare gives its mode.
func write(path string, data []byte, prepare func(*os.File) error) (err error) {
	dir := filepath.Dir(path)
	point(path, "begin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*"+suffix)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	point(path, "created")
	if err := prepare(f); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	point(path, "written")
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	point(path, "renamed")
	return syncDir(dir)
}

// Update is WriteFile unless the file has that content already; it says
// whether it wrote. Flash memory is spared, and a daemon need not reload.
func Update(path string, data []byte, mode fs.FileMode) (changed bool, err error) {
	old, err := os.ReadFile(path)
	if err == nil && bytes.Equal(old, data) {
		info, err := os.Stat(path)
		if err == nil && info.Mode().Perm() == mode.Perm() {
			return false, nil
		}
	}
	return true, WriteFile(path, data, mode)
}

// Remove deletes a file for good; a missing one is no error.
func Remove(path string) error {
	point(path, "remove")
	if err := os.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	point(path, "removed")
	return syncDir(filepath.Dir(path))
}

// WriteJSON writes v indented, with mode 0600: state is nobody else's.
func WriteJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return WriteFile(path, append(data, '\n'), 0o600)
}

// ReadJSON reads what WriteJSON wrote. The error of a missing file is
// fs.ErrNotExist.
func ReadJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// Clean removes what killed writers left in the folder. It is for a moment
// when nobody writes there: it cannot tell theirs from those of the living.
func Clean(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") && strings.HasSuffix(e.Name(), suffix) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
