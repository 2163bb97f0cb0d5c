package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
)

// rootDir is where our own code reads and writes small files in a root. A
// maintainer script may have put a symbolic link in place of any of them;
// os.Root sees to it that none leads out of the root. Modes are what is asked
// for, whatever the umask is.
type rootDir struct{ *os.Root }

// read returns a file's content; one that is not there is empty.
func (r rootDir) read(name string) ([]byte, error) {
	data, err := r.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// write makes a file, or a new one in the place of what was there.
func (r rootDir) write(name string, data []byte, mode os.FileMode) error {
	if err := r.WriteFile(name, data, mode); err != nil {
		return hostErr(err)
	}
	return r.Chmod(name, mode)
}

// replace writes a file by rename, so that a reader never sees half of it.
func (r rootDir) replace(name string, data []byte, mode os.FileMode) error {
	tmp := name + ".cloudy-new"
	if err := r.write(tmp, data, mode); err != nil {
		return err
	}
	return r.Rename(tmp, name)
}

// appendLine adds a line to a file, making the file if need be.
func (r rootDir) appendLine(name, line string) error {
	old, err := r.read(name)
	if err != nil {
		return err
	}
	return r.write(name, append(old, line+"\n"...), 0o644)
}

// mkdirAll makes a directory with mode 0755 and those above it; what is there
// stays as it is.
func (r rootDir) mkdirAll(name string) error {
	at := ""
	for part := range strings.SplitSeq(name, "/") {
		at = path.Join(at, part)
		switch err := r.Mkdir(at, 0o755); {
		case errors.Is(err, fs.ErrExist):
			continue
		case err != nil:
			return hostErr(err)
		}
		if err := r.Chmod(at, 0o755); err != nil {
			return err
		}
	}
	return nil
}
