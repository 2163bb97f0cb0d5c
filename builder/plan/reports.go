package plan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"cloudy/builder/fail"
	"cloudy/builder/report"
	"cloudy/builder/sign"
	"cloudy/builder/tree"
	"cloudy/targets"
)

// bills is what can be told of a root whatever is made of it.
type bills struct {
	packages  []report.Package
	codename  string
	spdx, cdx bytes.Buffer
}

// describe makes the bills of materials.
func (b *Build) describe(root *tree.Tree) (*bills, error) {
	view := report.RootOf(root)
	pkgs, err := report.Packages(view)
	if err != nil && !errors.Is(err, report.ErrNoPackages) {
		return nil, err
	}
	for i := range pkgs {
		if l := b.Lock.Find(pkgs[i].Name); l != nil && l.Version == pkgs[i].Version {
			pkgs[i].SHA256, pkgs[i].Archive = l.SHA256, l.Archive
		}
	}
	release := report.ReleaseOf(view)
	subject := &report.Subject{
		Name: b.Image.Name, Release: release, Tool: buildVersion, Time: b.epoch(), Packages: pkgs,
	}
	out := &bills{packages: pkgs, codename: release.Codename}
	return out, errors.Join(report.WriteSPDX(&out.spdx, subject), report.WriteCycloneDX(&out.cdx, subject))
}

// reports writes what goes beside the artefacts: both bills of materials,
// provenance and checksums.
func (b *Build) reports(d *bills, made []targets.Artefact) error {
	var files []report.File
	for _, a := range made {
		files = append(files, report.File{Path: filepath.Base(a.Path), Size: a.Size, SHA256: a.SHA256})
	}
	base := b.reportBase()
	for _, doc := range []struct {
		suffix string
		write  func(io.Writer) error
	}{
		{".spdx.json", func(w io.Writer) error { _, err := d.spdx.WriteTo(w); return err }},
		{".cdx.json", func(w io.Writer) error { _, err := d.cdx.WriteTo(w); return err }},
		{".provenance.json", func(w io.Writer) error {
			return report.WriteProvenance(w, b.provenance(files, d.packages, d.codename))
		}},
	} {
		sum, err := writeSummed(base+doc.suffix, doc.write)
		if err != nil {
			return err
		}
		files = append(files, sum)
	}
	// A signature of other sums would be wrong, and worse than none.
	if err := os.Remove(base + "." + sign.SumsSuffix + sign.Suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail.Mark(fail.Host, err)
	}
	_, err := writeSummed(base+"."+sign.SumsSuffix, func(w io.Writer) error { return report.WriteSums(w, files) })
	return err
}

// reportBase is the path of all reports without a suffix.
func (b *Build) reportBase() string {
	return filepath.Join(b.engine.OutDir, b.Image.Name+"-"+b.Image.Arch)
}

func (b *Build) provenance(files []report.File, pkgs []report.Package, codename string) *report.Provenance {
	p := &report.Provenance{
		Artefacts: files, Packages: pkgs, Codename: codename, BuilderVersion: buildVersion, Reproducible: true,
		Parameters: map[string]any{"image": b.Image.Name, "architecture": b.Image.Arch},
	}
	if b.agent != nil {
		p.Inputs = append(p.Inputs, report.Resource{Name: "cloudy-node-" + b.agent.Arch, Digest: report.Digest{"sha256": b.agent.SHA256}})
	}
	for _, name := range sortedKeys(b.Lock.Inputs) {
		d := b.Lock.Inputs[name]
		if len(d) > 7 && d[:7] == "sha256:" {
			d = d[7:]
		}
		p.Inputs = append(p.Inputs, report.Resource{Name: name, Digest: report.Digest{"sha256": d}})
	}
	return p
}

func writeSummed(path string, write func(io.Writer) error) (report.File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".cloudy-report-*")
	if err != nil {
		return report.File{}, fail.Mark(fail.Host, err)
	}
	defer os.Remove(f.Name())
	err = errors.Join(write(f), f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return report.File{}, fail.Mark(fail.Host, fmt.Errorf("write %s: %w", path, err))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return report.File{}, err
	}
	r, err := os.Open(path)
	if err != nil {
		return report.File{}, err
	}
	defer r.Close()
	return report.Sum(filepath.Base(path), r)
}
