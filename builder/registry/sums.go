package registry

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
	"cloudy/builder/progress"
	"cloudy/builder/report"
)

// checkedFile is a file with its checksum, which is the one that the
// checksums of its build have.
type checkedFile struct {
	path string
	report.File
	reports []checkedFile // what the build says of it: bills of materials, provenance
}

func isSums(path string) bool { return strings.HasSuffix(path, "SHA256SUMS") }

// signatureSuffix is that of signatures of minisign.
const signatureSuffix = ".minisig"

// checked reads the files that a user named. One of checksums brings all
// that it names, and its signature. A file beside checksums that name it has
// to be as they say.
func checked(ctx context.Context, paths []string) ([]checkedFile, error) {
	var out []checkedFile
	add := func(f checkedFile) {
		if !slices.ContainsFunc(out, func(o checkedFile) bool { return o.path == f.path }) {
			out = append(out, f)
		}
	}
	for _, p := range paths {
		if !isSums(p) {
			f, err := checkFile(ctx, p)
			if err != nil {
				return nil, err
			}
			if f.reports, err = reportsOf(ctx, f); err != nil {
				return nil, err
			}
			add(f)
			continue
		}
		list, err := report.ReadSums(p)
		if err != nil {
			return nil, err
		}
		all := []string{p}
		if _, err := os.Lstat(p + signatureSuffix); err == nil {
			all = append(all, p+signatureSuffix)
		}
		for _, l := range list {
			all = append(all, filepath.Join(filepath.Dir(p), filepath.Base(l.Path)))
		}
		for _, path := range all {
			f, err := checkFile(ctx, path)
			if err != nil {
				return nil, err
			}
			if err := f.fits(list, p); err != nil {
				return nil, err
			}
			add(f)
		}
	}
	return out, nil
}

// checkFile hashes a file.
func checkFile(ctx context.Context, path string) (checkedFile, error) {
	f, size, err := openFile(path)
	if err != nil {
		return checkedFile{}, err
	}
	defer f.Close()
	step := progress.Begin(ctx, "checksum "+filepath.Base(path), size, progress.Bytes)
	sum, err := report.Sum(filepath.Base(path), &counted{ctx, f, step})
	return checkedFile{path: path, File: sum}, step.End(err)
}

// fits compares the file with checksums.
func (f checkedFile) fits(list []report.File, sums string) error {
	for _, l := range list {
		if l.Path == f.Path && l.SHA256 != f.SHA256 {
			return fail.WithHint(fail.User, fmt.Errorf("%s is not what %s says", f.path, sums), "it was changed after its build; build it again")
		}
	}
	return nil
}

// reportsOf finds the reports of the build that made a file: those that stand
// in the same checksums. Checksums that do not name the file tell nothing.
func reportsOf(ctx context.Context, f checkedFile) ([]checkedFile, error) {
	dir := filepath.Dir(f.path)
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, fail.Mark(fail.User, err)
	}
	for _, e := range list {
		if !isSums(e.Name()) {
			continue
		}
		sums, err := report.ReadSums(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(sums, func(s report.File) bool { return s.Path == f.Path }) {
			continue
		}
		if err := f.fits(sums, e.Name()); err != nil {
			return nil, err
		}
		return reportsIn(ctx, dir, sums)
	}
	return nil, nil
}

func reportsIn(ctx context.Context, dir string, sums []report.File) ([]checkedFile, error) {
	var out []checkedFile
	for _, s := range sums {
		switch mediaTypeOf(s.Path) {
		case SPDXType, CycloneDXType, ProvenanceType:
		default:
			continue
		}
		f, err := checkFile(ctx, filepath.Join(dir, filepath.Base(s.Path)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = f.fits(sums, "the build's checksums")
		}
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// counted is a file whose reading shows.
type counted struct {
	ctx  context.Context
	f    *os.File
	step *progress.Step
}

func (c *counted) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.f.Read(p)
	c.step.Add(int64(n))
	return n, err
}
