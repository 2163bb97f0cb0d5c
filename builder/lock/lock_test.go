package lock

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cloudy/builder/fail"
)

var update = flag.Bool("update", false, "write golden files")

func pkg(name, version string, batch int) Package {
	sum := fmt.Sprintf("%064x", len(name)*1000+len(version))
	return Package{Name: name, Version: version, Architecture: "amd64", Size: 1234, SHA256: sum, Archive: "debian",
		File: "pool/main/" + name[:1] + "/" + name + ".deb", Why: "depends of <b> & c", Batch: batch}
}

func sample() *File {
	base := pkg("libc6", "2.41-12", 0)
	base.Base, base.Auto = true, true
	return &File{Images: map[string]*Image{
		Key("node", "amd64"): {
			Inputs: map[string]string{"packages": "sha256:aa", "archives": "sha256:bb"}, Epoch: 1767441600,
			Archives: []Archive{{Name: "debian", Suite: "trixie", Date: "2026-01-03T12:00:00Z", SHA256: strings.Repeat("ab", 32)}},
			Packages: []Package{base, pkg("squid", "1:6.13-2+b1", 0), pkg("tinc", "1.0.36", 1)},
		},
		Key("empty", "arm64"): {},
	}}
}

func TestGolden(t *testing.T) {
	got, err := sample().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/sample.lock"
	if *update {
		os.MkdirAll("testdata", 0o755)
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("lock file:\n%s\nwant\n%s", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	if f, err := Load(path); !errors.Is(err, fs.ErrNotExist) || len(f.Images) != 0 {
		t.Errorf("no file: %v %v", f, err)
	}
	want := sample()
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	first, _ := os.Stat(path)
	if first.Mode().Perm() != 0o644 {
		t.Errorf("mode %v", first.Mode())
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want.Images["empty/arm64"] = got.Images["empty/arm64"] // empty lists instead of none
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if err := got.Save(path); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.Stat(path); !os.SameFile(first, again) {
		t.Error("a file that does not change is written again")
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left over: %v", left)
	}
	if err := got.Save(filepath.Join(path, "below a file")); err == nil {
		t.Error("saved below a file")
	}
}

func TestParseErrors(t *testing.T) {
	text, err := sample().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, from, to, want string }{
		{"newer format", `"version": 1`, `"version": 2, "novel": true`, "format 2 is newer"},
		{"no format", `"version": 1,`, ``, `"version" is missing`},
		{"unknown field", `"epoch"`, `"epok"`, "epok"},
		{"not JSON", `{`, `<`, "invalid character"},
		{"cut off", "\n  }\n}\n", "", "unexpected end"},
		{"two files in one", "\n  }\n}\n", "\n  }\n}\n{}", "after top-level value"},
		{"merge conflict", "{\n", "<<<<<<< HEAD\n{\n", "invalid character"},
		{"no image", `{
      "inputs": {},
      "epoch": 0,
      "archives": [],
      "packages": []
    }`, "null", "is empty"},
		{"short hash", `"sha256":"0000`, `"sha256":"`, "is not a SHA256"},
		{"capital hash", `"sha256":"000000`, `"sha256":"00000A`, "is not a SHA256"},
		{"absolute file", `"file":"pool`, `"file":"/pool`, "not a path below"},
		{"file above", `"file":"pool/main`, `"file":"pool/..`, "not a path below"},
		{"no file", `"file":"pool/main/l/libc6.deb"`, `"file":""`, "not a path below"},
		{"no name", `"name":"libc6"`, `"name":""`, "must all be there"},
		{"no version", `"version":"2.41-12"`, `"version":""`, "must all be there"},
		{"twice", `"name":"squid"`, `"name":"libc6"`, "twice"},
		{"negative size", `"size":1234`, `"size":-1`, "negative"},
		{"batch too far", `"batch":1`, `"batch":1000000000`, "batch 1000000000 comes after batch 0"},
		{"batch negative", `"batch":1`, `"batch":-1`, "comes after"},
		{"base in a later batch", `"batch":1`, `"base":true,"batch":1`, "base is batch 0"},
	} {
		changed := strings.Replace(string(text), tc.from, tc.to, 1)
		if changed == string(text) {
			t.Errorf("%s: %q is not in the sample", tc.name, tc.from)
			continue
		}
		if _, err := Parse([]byte(changed)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
		path := filepath.Join(t.TempDir(), FileName)
		os.WriteFile(path, []byte(changed), 0o644)
		if _, err := Load(path); fail.KindOf(err) != fail.User || fail.HintOf(err) == "" || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v is not a user's error with the file's name and a hint", tc.name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	text, err := sample().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"version":1,"images":{"a/b":{"packages":[]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		out, err := file.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("what we wrote cannot be read: %v\n%s", err, out)
		}
		second, err := again.Marshal()
		if err != nil || !bytes.Equal(out, second) {
			t.Errorf("%v: a second round differs:\n%s\n%s", err, out, second)
		}
		for _, im := range file.Images {
			n := 0
			for _, b := range im.Batches() {
				if len(b) == 0 {
					t.Error("an empty batch")
				}
				n += len(b)
			}
			if n != len(im.Packages) {
				t.Errorf("%d of %d packages in batches", n, len(im.Packages))
			}
		}
	})
}

func TestDrift(t *testing.T) {
	im := &Image{Inputs: map[string]string{"packages": "1", "archives": "2", "gone": "3"}}
	got := im.Drift(map[string]string{"packages": "1", "archives": "x", "new": "4"})
	if want := []string{"archives has changed", "gone is gone", "new is new"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := im.Drift(im.Inputs); len(got) != 0 {
		t.Errorf("the same differs: %q", got)
	}
	if got := (&Image{}).Drift(nil); len(got) != 0 {
		t.Errorf("nothing differs: %q", got)
	}
}

func TestDigest(t *testing.T) {
	base := sample().Images["node/amd64"].Digest()
	for name, change := range map[string]func(*Image){
		"epoch":   func(im *Image) { im.Epoch++ },
		"version": func(im *Image) { im.Packages[1].Version += "1" },
		"hash":    func(im *Image) { im.Packages[1].SHA256 = strings.Repeat("f", 64) },
		"auto":    func(im *Image) { im.Packages[1].Auto = true },
		"base":    func(im *Image) { im.Packages[1].Base = true },
		"batch":   func(im *Image) { im.Packages[1].Batch = 1 },
		"order":   func(im *Image) { im.Packages[0], im.Packages[1] = im.Packages[1], im.Packages[0] },
		"fewer":   func(im *Image) { im.Packages = im.Packages[:2] },
	} {
		im := sample().Images["node/amd64"]
		change(im)
		if im.Digest() == base {
			t.Errorf("%s: the digest stays", name)
		}
	}
	same := sample().Images["node/amd64"]
	same.Inputs, same.Packages[0].Why = nil, "other"
	if same.Digest() != base {
		t.Error("the digest has what builds nothing")
	}
}

func TestExtend(t *testing.T) {
	mark := func(p Package, base, auto bool) Package { p.Base, p.Auto = base, auto; return p }
	image := func(epoch int64, pkgs ...Package) *Image { return &Image{Epoch: epoch, Packages: pkgs} }
	a, b, c, d := pkg("a", "1", 0), pkg("bb", "1", 0), pkg("ccc", "1", 0), pkg("dddd", "1", 0)
	b1 := pkg("bb", "1", 1)
	for _, tc := range []struct {
		name       string
		old, fresh *Image
		want       string // name#batch; "" for fresh as it is
	}{
		{"no old lock", nil, image(1, a), ""},
		{"an empty old lock", image(1), image(1, a), ""},
		{"another epoch", image(1, a), image(2, a), ""},
		{"the same", image(1, a, b), image(1, a, b), "a#0 bb#0"},
		{"the same in another order", image(1, a, b), image(1, b, a), "a#0 bb#0"},
		{"one more", image(1, a, b), image(1, c, a, b), "a#0 bb#0 ccc#1"},
		{"and one more", image(1, a, b1), image(1, d, c, b, a), "a#0 bb#1 dddd#2 ccc#2"},
		{"the same with batches", image(1, a, b1), image(1, a, b), "a#0 bb#1"},
		{"one gone", image(1, a, b), image(1, a), ""},
		{"another version", image(1, a, b), image(1, a, pkg("bb", "22", 0)), ""},
		{"base became rest", image(1, mark(a, true, false)), image(1, a), ""},
		{"a dependency is now wanted", image(1, mark(a, false, true)), image(1, a, b), ""},
		{"a new base package", image(1, a), image(1, a, mark(b, true, false)), ""},
		{"another architecture", image(1, a), image(1, func() Package { p := a; p.Architecture = "arm64"; return p }()), ""},
	} {
		got := Extend(tc.old, tc.fresh)
		if tc.want == "" {
			if got != tc.fresh {
				t.Errorf("%s: extended", tc.name)
			}
			continue
		}
		var have []string
		for _, p := range got.Packages {
			have = append(have, fmt.Sprintf("%s#%d", p.Name, p.Batch))
		}
		if s := strings.Join(have, " "); s != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, s, tc.want)
		}
		if err := got.validate(); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		for i := range tc.fresh.Packages {
			if tc.fresh.Packages[i].Batch != 0 {
				t.Errorf("%s: what was given has changed", tc.name)
			}
		}
	}
	// What is kept is described as it is now.
	moved := a
	moved.File, moved.Why = "pool/elsewhere.deb", "wanted"
	if got := Extend(image(1, a), image(1, moved)); got.Packages[0].File != moved.File || got.Packages[0].Why != "wanted" {
		t.Errorf("%+v", got.Packages[0])
	}
}

func TestFind(t *testing.T) {
	im := sample().Images["node/amd64"]
	if p := im.Find("squid"); p == nil || p.ID() != "squid_1:6.13-2+b1_amd64" {
		t.Errorf("%+v", p)
	}
	if im.Find("nothing") != nil {
		t.Error("found nothing")
	}
}
