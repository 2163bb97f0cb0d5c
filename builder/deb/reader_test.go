package deb

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

type member struct{ name, data string }

func arFile(members ...member) []byte {
	var b bytes.Buffer
	b.WriteString(arMagic)
	for _, m := range members {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n%s", m.name, 0, 0, 0, "100644", len(m.data), m.data)
		if len(m.data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

func tarFile(t testing.TB, headers ...tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := ""
		if h.Typeflag == tar.TypeReg {
			content = h.Linkname // a test's shorthand: the content of a file
			h.Linkname, h.Size = "", int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, content)
	}
	w.Close()
	return b.String()
}

func file(name, content string, mode int64) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Linkname: content, Mode: mode}
}

func pack(t testing.TB, suffix, data string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch suffix {
	case ".gz":
		w = gzip.NewWriter(&b)
	case ".xz":
		w, err = xz.NewWriter(&b)
	case ".zst":
		w, err = zstd.NewWriter(&b)
	default:
		return data
	}
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, data)
	w.Close()
	return b.String()
}

const sampleControl = "Package: a\nVersion: 1\nArchitecture: all\n"

func sampleMembers(t testing.TB, suffix string) []member {
	control := tarFile(t, tar.Header{Name: "./", Typeflag: tar.TypeDir}, file("./control", sampleControl, 0o644), file("./postinst", "#!/bin/sh\n", 0o755))
	data := tarFile(t, tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}, file("./usr/x", strings.Repeat("hello ", 50000), 0o644))
	return []member{{"debian-binary", "2.0\n"}, {"control.tar" + suffix, pack(t, suffix, control)}, {"data.tar" + suffix, pack(t, suffix, data)}}
}

// readDeb reads all of a .deb and returns "name size" of the data's entries.
func readDeb(r *Reader) (map[string]ControlFile, []string, error) {
	control, err := r.Control()
	if err != nil {
		return nil, nil, err
	}
	tr, err := r.Data()
	if err != nil {
		return nil, nil, err
	}
	var names []string
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return control, names, r.Finish()
		}
		if err != nil {
			return nil, nil, err
		}
		n, err := io.Copy(io.Discard, tr)
		if err != nil {
			return nil, nil, err
		}
		names = append(names, fmt.Sprint(h.Name, " ", n))
	}
}

func TestReader(t *testing.T) {
	var r *Reader
	for _, suffix := range []string{"", ".gz", ".xz", ".zst", ".xz", ".zst", ".gz"} {
		ms := sampleMembers(t, suffix)
		ms = append([]member{ms[0], {"_extra", "skip"}, ms[1]}, ms[2:]...)
		src := bytes.NewReader(append(arFile(ms...), arFile(member{"_after", "odd"})[len(arMagic):]...))
		var err error
		if r == nil {
			r, err = NewReader(src)
		} else { // the decoders are used again
			err = r.Reset(src)
		}
		if err != nil {
			t.Fatal(err)
		}
		control, names, err := readDeb(r)
		if err != nil {
			t.Fatalf("%q: %v", suffix, err)
		}
		if got := string(control["control"].Data); got != sampleControl || control["postinst"].Mode != 0o755 || len(control) != 2 {
			t.Errorf("%q: control files %v", suffix, control)
		}
		if got := fmt.Sprint(names); got != "[./ 0 ./usr/x 300000]" {
			t.Errorf("%q: data %s", suffix, got)
		}
		if src.Len() != 0 {
			t.Errorf("%q: %d bytes of the file were not read", suffix, src.Len())
		}
	}
	r.Close()
}

func TestReaderErrors(t *testing.T) {
	good := sampleMembers(t, ".xz")
	control := func(hs ...tar.Header) []byte {
		return arFile(good[0], member{"control.tar", tarFile(t, hs...)}, good[2])
	}
	damaged := []byte(good[2].data)
	damaged[len(damaged)/2] ^= 1
	for name, c := range map[string]struct {
		deb  []byte
		want string
	}{
		"empty":           {nil, "unexpected EOF"},
		"no ar":           {[]byte("PK\x03\x04 zip file"), "not an ar archive"},
		"no members":      {arFile(), "unexpected EOF"},
		"other member":    {arFile(member{"x", "y"}), `first member is "x"`},
		"version":         {arFile(member{"debian-binary", "3.0\n"}), "unknown .deb format version"},
		"no control":      {arFile(good[0]), "no member control.tar"},
		"no data":         {arFile(good[0], good[1]), "no member data.tar"},
		"order":           {arFile(good[0], good[2], good[1]), "where control.tar is expected"},
		"compression":     {arFile(good[0], member{"control.tar.Z", "x"}), `unknown compression ".Z"`},
		"size":            {[]byte(strings.Replace(string(arFile(good[0])), "4         `", "-4        `", 1)), "header is damaged"},
		"control empty":   {control(), "no file control"},
		"control dir":     {control(file("./control", sampleControl, 0), tar.Header{Name: "x", Typeflag: tar.TypeDir}), "not a plain file"},
		"control link":    {control(tar.Header{Name: "control", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}), "not a plain file"},
		"control path":    {control(file("../control", "", 0)), "unsafe path"},
		"control subdir":  {control(file("./x/control", "", 0)), "not a plain file"},
		"damaged":         {arFile(good[0], good[1], member{"data.tar.xz", string(damaged)}), "xz"},
		"not xz":          {arFile(good[0], good[1], member{"data.tar.xz", "nonsense, and a bit more of it"}), "data.tar.xz"},
		"xz tail missing": {arFile(good[0], good[1], member{"data.tar.xz", good[2].data[:len(good[2].data)-12]}), "data archive"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := NewReader(bytes.NewReader(c.deb))
			if err == nil {
				_, _, err = readDeb(r)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// TestReaderTruncated cuts a file at every length: each cut is an error.
func TestReaderTruncated(t *testing.T) {
	whole := arFile(sampleMembers(t, ".xz")...)
	for n := range len(whole) - 1 { // the last byte may be padding, which is optional
		r, err := NewReader(bytes.NewReader(whole[:n]))
		if err == nil {
			_, _, err = readDeb(r)
		}
		if err == nil {
			t.Fatalf("no error after %d of %d bytes", n, len(whole))
		}
		if errors.Is(err, io.EOF) {
			t.Fatalf("plain io.EOF after %d bytes: %v", n, err)
		}
	}
}

func TestReaderOfDpkgDeb(t *testing.T) {
	need(t, "dpkg-deb")
	dir := t.TempDir()
	for name, content := range map[string]string{"DEBIAN/control": sampleControl + "Maintainer: a <a@b>\nDescription: d\n", "usr/share/a/f": "content", "usr/share/a/" + strings.Repeat("n", 200): "long"} {
		p := filepath.Join(dir, "root", name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, comp := range []string{"none", "gzip", "xz", "zstd"} {
		out := filepath.Join(dir, comp+".deb")
		if msg, err := exec.Command("dpkg-deb", "--root-owner-group", "-Z"+comp, "-b", filepath.Join(dir, "root"), out).CombinedOutput(); err != nil {
			if comp == "zstd" && strings.Contains(string(msg), "unknown compression") {
				continue // an upstream dpkg before 1.21.18
			}
			t.Fatalf("dpkg-deb: %v: %s", err, msg)
		}
		f, err := os.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		control, names, err := readDeb(r)
		if err != nil {
			t.Fatalf("%s: %v", comp, err)
		}
		want := "[./ 0 ./usr/ 0 ./usr/share/ 0 ./usr/share/a/ 0 ./usr/share/a/f 7 ./usr/share/a/" + strings.Repeat("n", 200) + " 4]"
		if got := fmt.Sprint(names); got != want {
			t.Errorf("%s: got %s", comp, got)
		}
		if !strings.HasPrefix(string(control["control"].Data), sampleControl) {
			t.Errorf("%s: control %q", comp, control["control"].Data)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, suffix := range []string{"", ".gz", ".xz", ".zst"} {
		control := pack(f, suffix, tarFile(f, file("./control", sampleControl, 0o644)))
		data := pack(f, suffix, tarFile(f, file("./x", "y", 0o644)))
		f.Add(arFile(member{"debian-binary", "2.0\n"}, member{"control.tar" + suffix, control}, member{"data.tar" + suffix, data}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		defer r.Close()
		_, _, _ = readDeb(r)
	})
}
