package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func sample() *Tree {
	long := strings.Repeat("long/", 30) + "name"
	t := &Tree{Entries: []Entry{
		{Path: ".", Type: Dir, Mode: 0o755, MTime: time.Unix(1700000000, 0)},
		{Path: "a", Type: File, Mode: 0o4755, UID: 1000, GID: 100, MTime: time.Unix(1700000000, 123456789), Size: 3, Data: []byte("abc"),
			Xattrs: []Xattr{{"security.capability", []byte("\x01\x00\x00\x02\x00\x20\x00\x00")}, {"user.x", []byte("=\n")}}},
		{Path: "b", Type: Hardlink, Mode: 0o4755, UID: 1000, GID: 100, MTime: time.Unix(1700000000, 123456789), Link: "a"},
		{Path: "dev", Type: Dir, Mode: 0o1777},
		{Path: "dev/null", Type: Char, Mode: 0o666, Major: 1, Minor: 3},
		{Path: "dev/pipe", Type: Fifo, Mode: 0o600},
		{Path: "dev/sda", Type: Block, Mode: 0o660, GID: 6, Major: 8},
		{Path: "grüße", Type: Symlink, Mode: 0o777, Link: "../ä"},
		{Path: "huge-owner", Type: File, Mode: 0o644, UID: 4000000000, GID: 3000000},
		{Path: "long", Type: Dir, Mode: 0o755},
	}}
	for p := "long/long"; len(p) < len(long); p += "/long" {
		t.Entries = append(t.Entries, Entry{Path: p, Type: Dir, Mode: 0o755})
	}
	t.Entries = append(t.Entries, Entry{Path: long, Type: File, Mode: 0o600, Size: 8192, Data: bytes.Repeat([]byte("x"), 8192)})
	t.Sort()
	return t
}

func tarOf(t *testing.T, tr *Tree, opts TarOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tr.WriteTar(context.Background(), &b, opts); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTarRoundTrip(t *testing.T) {
	want := sample()
	archive := tarOf(t, want, TarOptions{})
	if !bytes.Equal(archive, tarOf(t, sample(), TarOptions{})) {
		t.Error("the same tree gave two different archives")
	}
	got, err := ReadTar(bytes.NewReader(archive), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Entries) != len(want.Entries) {
		t.Fatalf("%d entries, want %d", len(got.Entries), len(want.Entries))
	}
	for i := range want.Entries {
		g, w := got.Entries[i], want.Entries[i]
		if w.MTime.IsZero() {
			w.MTime = time.Unix(0, 0)
		}
		if !g.MTime.Equal(w.MTime) {
			t.Errorf("%s: time %v, want %v", w.Path, g.MTime, w.MTime)
		}
		if w.Type == File {
			r, err := g.Open()
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if _, err := b.ReadFrom(r); err != nil {
				t.Fatal(err)
			}
			r.Close()
			if !bytes.Equal(b.Bytes(), w.Data) {
				t.Errorf("%s: other content", w.Path)
			}
		}
		g.MTime, w.MTime = time.Time{}, time.Time{}
		g.Data, g.Source, w.Data = nil, "", nil
		if !reflect.DeepEqual(g, w) {
			t.Errorf("got %+v, want %+v", g, w)
		}
	}
}

// TestTarHasNoNeedlessRecords holds the archive of a plain tree to plain
// headers: 512 bytes an entry and no PAX records.
func TestTarHasNoNeedlessRecords(t *testing.T) {
	tr := &Tree{Entries: []Entry{{Path: ".", Type: Dir, Mode: 0o755}, {Path: "x", Type: File, Mode: 0o644}}}
	if n := len(tarOf(t, tr, TarOptions{})); n != 2*512+1024 {
		t.Errorf("%d bytes", n)
	}
}

func TestTarPrefix(t *testing.T) {
	var names []string
	r := tar.NewReader(bytes.NewReader(tarOf(t, sample(), TarOptions{Prefix: "rootfs/"})))
	for {
		hdr, err := r.Next()
		if err != nil {
			break
		}
		names = append(names, hdr.Name)
		if hdr.Typeflag == tar.TypeLink && hdr.Linkname != "rootfs/a" {
			t.Errorf("the hard link names %s", hdr.Linkname)
		}
	}
	if names[0] != "rootfs/" || names[1] != "rootfs/a" {
		t.Errorf("names begin with %q", names[:2])
	}
}

func TestTarOfAChangedFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{4, 6} {
		tr := &Tree{Entries: []Entry{{Path: "f", Type: File, Size: size, Source: file}}}
		if err := tr.WriteTar(context.Background(), &bytes.Buffer{}, TarOptions{}); err == nil {
			t.Errorf("5 bytes passed for %d", size)
		}
	}
}

func TestTarStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := sample().WriteTar(ctx, &bytes.Buffer{}, TarOptions{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestReadTarOfGNUTar reads what GNU tar writes, and GNU tar reads what we write.
func TestReadTarOfGNUTar(t *testing.T) {
	gnu, err := exec.LookPath("tar")
	if err != nil {
		if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal(err)
		}
		t.Skip("no tar: ", err)
	}
	dir := t.TempDir()
	for _, d := range []string{"d", "d/z"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	sparse := append(make([]byte, 1<<20), "end"...)
	for name, content := range map[string][]byte{"d/second": []byte("linked"), "sparse": sparse} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(dir, "sparse"), 2<<20); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(dir, "d/second"), filepath.Join(dir, "d/first")); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"gnu", "pax", "ustar"} {
		t.Run(format, func(t *testing.T) {
			args := []string{"--create", "--format=" + format, "--numeric-owner", "-C", dir}
			if format != "ustar" {
				args = append(args, "--sparse")
			}
			// The second name first: what is the file and what the link turns round.
			out, err := exec.Command(gnu, append(args, "./d/second", "./d/first", "./sparse", "./d/z")...).Output()
			if err != nil {
				t.Fatal(err)
			}
			tr, err := ReadTar(bytes.NewReader(out), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			first, second := tr.Find("d/first"), tr.Find("d/second")
			if first == nil || first.Type != File || first.Size != 6 || first.Mode != 0o640 {
				t.Errorf("d/first is %+v", first)
			}
			if second == nil || second.Type != Hardlink || second.Link != "d/first" || second.Size != 0 {
				t.Errorf("d/second is %+v", second)
			}
			if d := tr.Find("d"); d == nil || d.Type != Dir {
				t.Errorf("the folder that the archive left out is %+v", d)
			}
			if s := tr.Find("sparse"); s == nil || s.Size != 2<<20 {
				t.Errorf("sparse is %+v", s)
			}
		})
	}
	cmd := exec.Command(gnu, "--list", "--verbose", "--numeric-owner", "--utc", "--xattrs", "-f", "-")
	cmd.Stdin = bytes.NewReader(tarOf(t, sample(), TarOptions{}))
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"-rwsr-xr-x* 1000/100", "link to a", "crw-rw-rw-", " 1,3 ", " 8,0 ", "grüße -> ../ä", "4000000000/3000000"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in what GNU tar reads:\n%.2000s", want, out)
		}
	}
}

func TestReadTarRefuses(t *testing.T) {
	for name, headers := range map[string][]tar.Header{
		"leaves the root":   {{Name: "a/../../x", Typeflag: tar.TypeReg}},
		"link leaves":       {{Name: "x", Typeflag: tar.TypeLink, Linkname: "../x"}},
		"dangling link":     {{Name: "x", Typeflag: tar.TypeLink, Linkname: "y"}},
		"link to itself":    {{Name: "x", Typeflag: tar.TypeLink, Linkname: "x"}},
		"circle":            {{Name: "x", Typeflag: tar.TypeLink, Linkname: "y"}, {Name: "y", Typeflag: tar.TypeLink, Linkname: "x"}},
		"link to a folder":  {{Name: "d/", Typeflag: tar.TypeDir}, {Name: "x", Typeflag: tar.TypeLink, Linkname: "d"}},
		"through a symlink": {{Name: "d", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, {Name: "d/passwd", Typeflag: tar.TypeReg}},
		"root is a file":    {{Name: "./", Typeflag: tar.TypeSymlink, Linkname: "/"}},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			for i := range headers {
				if err := w.WriteHeader(&headers[i]); err != nil {
					t.Fatal(err)
				}
			}
			w.Close()
			if _, err := ReadTar(&b, t.TempDir()); !errors.Is(err, ErrBadArchive) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestReadTarLastOneHolds(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, size := range []int{9000, 5} {
		w.WriteHeader(&tar.Header{Name: "/etc/x", Typeflag: tar.TypeReg, Size: int64(size), Mode: 0o600})
		w.Write(bytes.Repeat([]byte("x"), size))
	}
	w.Close()
	spool := t.TempDir()
	tr, err := ReadTar(&b, spool)
	if err != nil {
		t.Fatal(err)
	}
	if e := tr.Find("etc/x"); e == nil || e.Size != 5 {
		t.Errorf("got %+v", e)
	}
	if left, _ := os.ReadDir(spool); len(left) > 0 {
		t.Errorf("%s stays in the spool folder", left[0].Name())
	}
}

func FuzzReadTar(f *testing.F) {
	var b bytes.Buffer
	if err := sample().WriteTar(context.Background(), &b, TarOptions{}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, archive []byte) {
		tr, err := ReadTar(bytes.NewReader(archive), t.TempDir())
		if err != nil {
			return
		}
		files := map[string]bool{}
		for i, e := range tr.Entries {
			if i > 0 && Compare(tr.Entries[i-1].Path, e.Path) >= 0 {
				t.Fatalf("%q stands after %q", e.Path, tr.Entries[i-1].Path)
			}
			if e.Path != "." && (strings.HasPrefix(e.Path, "/") || strings.HasPrefix(e.Path, "../") || e.Path == "..") {
				t.Fatalf("the name %q", e.Path)
			}
			files[e.Path] = e.Type == File
			if e.Type == Hardlink && !files[e.Link] {
				t.Fatalf("the link %q stands before its file %q", e.Path, e.Link)
			}
		}
	})
}
