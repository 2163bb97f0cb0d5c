package report

import (
	"bytes"
	"context"
	"encoding/xml"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update when it should):\n%s", name, got)
	}
}

func TestMeasure(t *testing.T) {
	s, err := Measure(context.Background(), sampleRoot())
	if err != nil {
		t.Fatal(err)
	}
	size := func(list []Sized, name string) int64 {
		t.Helper()
		for _, e := range list {
			if e.Name == name {
				return e.Size
			}
		}
		t.Errorf("no %s among %+v", name, list)
		return -1
	}
	var sum int64
	for _, list := range [][]Sized{s.Packages, s.Unowned} {
		for _, e := range list {
			sum += e.Size
		}
	}
	if sum != s.Total || s.Total != sampleRoot().Size() || size(s.Folders, ".") != s.Total {
		t.Errorf("total %d, parts %d, root %d", s.Total, sum, size(s.Folders, "."))
	}
	// bash: its program by the old path, the diverted sh, the copyright; the hard link counts once.
	if got, want := size(s.Packages, "bash"), int64(1000+30+len("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: x\nLicense: GPL-3+\n")); got != want {
		t.Errorf("bash has %d bytes, want %d", got, want)
	}
	if s.Packages[0].Name != "libc6" || s.Packages[0].Size != 2000+22 || s.Packages[1].Size != 1500 {
		t.Errorf("the largest packages are %+v", s.Packages[:2])
	}
	if got := size(s.Unowned, "var/lib/apt"); got != 500 {
		t.Errorf("apt's lists are %d", got)
	}
	if got := size(s.Folders, "usr/lib"); got != 3500+int64(len("PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nID=debian\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\n")) {
		t.Errorf("usr/lib is %d", got)
	}
	var b bytes.Buffer
	if err := WriteSizes(&b, s, 4); err != nil {
		t.Fatal(err)
	}
	golden(t, "sizes.txt", b.Bytes())
}

func TestMeasureWithoutPackages(t *testing.T) {
	s, err := Measure(context.Background(), rootWith(map[string]string{"a": "x", "b/c/d/e": "yy"}))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Packages) != 0 || len(s.Unowned) != 2 || s.Total != 3 {
		t.Errorf("%+v", s)
	}
}

func TestTreemap(t *testing.T) {
	s, err := Measure(context.Background(), sampleRoot())
	if err != nil {
		t.Fatal(err)
	}
	for name, byFolder := range map[string]bool{"packages.svg": false, "folders.svg": true} {
		var b bytes.Buffer
		if err := WriteTreemap(&b, s, byFolder); err != nil {
			t.Fatal(err)
		}
		wellFormed(t, b.Bytes())
		golden(t, name, b.Bytes())
	}
	var page bytes.Buffer
	if err := WriteSizePage(&page, "<b>&", s); err != nil {
		t.Fatal(err)
	}
	if out := page.String(); strings.Contains(out, "<b>&") || strings.Count(out, "<svg") != 2 || strings.Contains(out, "src=") {
		t.Error("the page is not escaped or not whole")
	}
	if err := WriteTreemap(io.Discard, &Sizes{}, false); err != nil {
		t.Error(err)
	}
}

func wellFormed(t *testing.T, doc []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(doc))
	for {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestSquarify(t *testing.T) {
	// The example of the paper: areas in a field of 6 by 4.
	b := box{0, 0, 6, 4}
	areas := []float64{6, 6, 4, 3, 2, 2, 1}
	boxes := squarify(areas, b)
	if boxes[0] != (box{0, 0, 3, 2}) || boxes[1] != (box{0, 2, 3, 2}) {
		t.Errorf("the first two are %+v", boxes[:2])
	}
	var sum float64
	for i, r := range boxes {
		if math.Abs(r.w*r.h-areas[i]) > 1e-9 {
			t.Errorf("box %d has the area %g, want %g", i, r.w*r.h, areas[i])
		}
		if r.x < -1e-9 || r.y < -1e-9 || r.x+r.w > 6+1e-9 || r.y+r.h > 4+1e-9 {
			t.Errorf("box %d leaves the field: %+v", i, r)
		}
		for j, o := range boxes[:i] {
			if r.x < o.x+o.w-1e-9 && o.x < r.x+r.w-1e-9 && r.y < o.y+o.h-1e-9 && o.y < r.y+r.h-1e-9 {
				t.Errorf("boxes %d and %d overlap", i, j)
			}
		}
		sum += r.w * r.h
	}
	if math.Abs(sum-24) > 1e-6 {
		t.Errorf("the field is filled to %g of 24", sum)
	}
	if got := squarify([]float64{1, 2}, box{}); len(got) != 2 {
		t.Errorf("no field gives %+v", got)
	}
}
