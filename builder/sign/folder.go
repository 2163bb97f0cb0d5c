package sign

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cloudy/builder/fail"
	"cloudy/builder/report"
)

// SumsSuffix is what the names of files of checksums end with.
const SumsSuffix = "SHA256SUMS"

// Checked is what a signature was found to vouch for.
type Checked struct {
	Signed  string // the file that the signature is of
	Comment string
	Files   []string // what its checksums name, when it is a file of checksums
}

// Check verifies what path names with the keys:
//
//   - a folder: every file of checksums in it must be signed, and every file
//     that they name be as they say;
//   - a file of checksums: the same for this one;
//   - any other file: its own signature, or else that of a file of checksums
//     beside it that names it, and its own checksum.
//
// What does not hold is an ErrSignature or a report.ErrSum. That nothing is
// there to verify by is an error too.
func Check(ctx context.Context, path string, keys ...Public) ([]Checked, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fail.Mark(fail.User, err)
	}
	switch {
	case st.IsDir():
		return checkFolder(ctx, path, keys)
	case strings.HasSuffix(path, SumsSuffix):
		c, err := checkSums(ctx, path, "", keys)
		return []Checked{c}, err
	}
	if _, err := os.Lstat(path + Suffix); err == nil {
		comment, err := VerifyFile(path, keys...)
		return []Checked{{Signed: path, Comment: comment}}, err
	}
	lists, err := sumsIn(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	for _, l := range lists {
		files, err := report.ReadSums(l)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(files, func(f report.File) bool { return f.Path == filepath.Base(path) }) {
			c, err := checkSums(ctx, l, filepath.Base(path), keys)
			return []Checked{c}, err
		}
	}
	return nil, fail.WithHint(fail.User, fmt.Errorf("%s has no signature, and no file of checksums beside it names it", path),
		"the signature is "+path+Suffix+", or that of a "+SumsSuffix+" file")
}

func checkFolder(ctx context.Context, dir string, keys []Public) ([]Checked, error) {
	lists, err := sumsIn(dir)
	if err != nil {
		return nil, err
	}
	if len(lists) == 0 {
		return nil, fail.Mark(fail.User, fmt.Errorf("%s has no file of checksums", dir))
	}
	var out []Checked
	var errs []error
	for _, l := range lists {
		c, err := checkSums(ctx, l, "", keys)
		out = append(out, c)
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}

func sumsIn(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, fail.Mark(fail.User, err)
	}
	var out []string
	for _, e := range list {
		if strings.HasSuffix(e.Name(), SumsSuffix) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, nil
}

// checkSums verifies a signed file of checksums and what it names, or one
// of the files alone.
func checkSums(ctx context.Context, path, only string, keys []Public) (Checked, error) {
	c := Checked{Signed: path}
	var err error
	if c.Comment, err = VerifyFile(path, keys...); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %s has none", ErrSignature, path)
		}
		return c, err
	}
	files, err := report.ReadSums(path)
	if err != nil {
		return c, err
	}
	if only != "" {
		files = slices.DeleteFunc(files, func(f report.File) bool { return f.Path != only })
	}
	for _, f := range files {
		c.Files = append(c.Files, f.Path)
	}
	return c, report.CheckSums(ctx, filepath.Dir(path), files)
}
