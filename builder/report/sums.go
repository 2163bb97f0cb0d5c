package report

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"cloudy/builder/fail"
)

// ErrSum means that a file is not what its checksum says.
var ErrSum = errors.New("checksum does not match")

// WriteSums writes a SHA256SUMS file, sorted by path, as sha256sum(1) writes
// and checks it.
func WriteSums(w io.Writer, files []File) error {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	for _, f := range files {
		// coreutils marks a line with escaped characters by a backslash at its start.
		mark, name := "", f.Path
		if strings.ContainsAny(name, "\\\n\r") {
			mark, name = `\`, strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(name)
		}
		if _, err := fmt.Fprintf(w, "%s%s  %s\n", mark, f.SHA256, name); err != nil {
			return err
		}
	}
	return nil
}

// ParseSums reads a SHA256SUMS file. Sizes are zero, since it has none.
func ParseSums(r io.Reader) ([]File, error) {
	var files []File
	scan := bufio.NewScanner(r)
	for n := 1; scan.Scan(); n++ {
		line := scan.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		line, escaped := strings.CutPrefix(line, `\`)
		if len(line) < 67 || line[64] != ' ' || line[65] != ' ' && line[65] != '*' {
			return nil, fmt.Errorf("line %d: not a SHA-256 and a name", n)
		}
		if _, err := hex.DecodeString(line[:64]); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		name := line[66:]
		if escaped {
			name = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r").Replace(name)
		}
		files = append(files, File{Path: name, SHA256: strings.ToLower(line[:64])})
	}
	return files, scan.Err()
}

// CheckSums reads every file that sums names, below dir, and returns an
// ErrSum for those that differ, joined with the errors of those that cannot be read.
// No name leads out of dir.
func CheckSums(ctx context.Context, dir string, sums []File) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var errs []error
	for _, want := range sums {
		if err := ctx.Err(); err != nil {
			return err
		}
		got, err := sumIn(root, want.Path)
		switch {
		case err != nil:
			errs = append(errs, err)
		case got.SHA256 != want.SHA256:
			errs = append(errs, fmt.Errorf("%s: %w", want.Path, ErrSum))
		}
	}
	return errors.Join(errs...)
}

func sumIn(root *os.Root, path string) (File, error) {
	f, err := root.Open(path)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	return Sum(path, f)
}

// Sum reads r to its end and returns its size and digest under the name path.
func Sum(path string, r io.Reader) (File, error) {
	h := sha256.New()
	n, err := io.CopyBuffer(h, struct{ io.Reader }{r}, make([]byte, 256<<10))
	if err != nil {
		return File{}, fmt.Errorf("read %s: %w", path, err)
	}
	return File{Path: path, Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}

// ReadSums reads the SHA256SUMS file at path. What is wrong with it is the
// user's error.
func ReadSums(path string) ([]File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fail.Mark(fail.User, err)
	}
	defer f.Close()
	list, err := ParseSums(f)
	if err != nil {
		return nil, fail.Mark(fail.User, fmt.Errorf("%s: %w", path, err))
	}
	return list, nil
}
