package plan

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReasons(t *testing.T) {
	w := newWorld(t, debian())
	ctx := context.Background()
	const before = "packages = [\"squid\"]\n  hostname = \"one\""
	img, inputs := w.image(before)
	l, err := w.e.Fresh(ctx, img, inputs)
	if err != nil {
		t.Fatal(err)
	}
	b := w.build(img, l)
	if got := reasons(b); got != "packages: never built here\ncustomise: step packages runs again\ntarget tar: step customise runs again\ntarget vm: step customise runs again" {
		t.Errorf("at first:\n%s", got)
	}
	w.pretend(b)
	const cached = "packages: cached\ncustomise: cached\ntarget tar: cached\ntarget vm: cached"
	if got := reasons(w.build(img, l)); got != cached {
		t.Errorf("after the build:\n%s", got)
	}
	// One target alone does not forget the other.
	one, err := w.e.New(img, l, img.Targets[:1])
	if err != nil {
		t.Fatal(err)
	}
	w.pretend(one)
	if got := reasons(w.build(img, l)); got != cached {
		t.Errorf("after one target:\n%s", got)
	}
	img, _ = w.image("packages = [\"squid\"]\n  hostname = \"two\"")
	if got := reasons(w.build(img, l)); got != "packages: cached\ncustomise: hostname was one, is two\ntarget tar: step customise runs again\ntarget vm: step customise runs again" {
		t.Errorf("another host name:\n%s", got)
	}
	img, inputs = w.image("packages = [\"squid\", \"tinc\"]\n  hostname = \"one\"")
	more, err := w.e.Fresh(ctx, img, inputs)
	if err != nil {
		t.Fatal(err)
	}
	b = w.build(img, more)
	if got := reasons(b); got != "packages: cached\npackages+1: never built here\ncustomise: step packages+1 runs again\ntarget tar: step customise runs again\ntarget vm: step customise runs again" {
		t.Errorf("one package more:\n%s", got)
	}
	w.pretend(b)
	// Back to what was before: the packages are there, the artefacts were replaced.
	img, _ = w.image(before)
	if got := reasons(w.build(img, l)); got != "packages: cached\ncustomise: step packages is another one\ntarget tar: step customise runs again\ntarget vm: step customise runs again" {
		t.Logf("and back:\n%s", got) // what it says is a matter of taste, that it runs is not
		if strings.Contains(got, "target tar: cached") {
			t.Error("an artefact of other packages counts")
		}
	}
	img, _ = w.image("packages = [\"squid\", \"tinc\"]\n  hostname = \"one\"")
	if err := os.Remove(filepath.Join(w.e.OutDir, "node-amd64-tar.bin")); err != nil {
		t.Fatal(err)
	}
	if got := reasons(w.build(img, more)); !strings.HasSuffix(got, "customise: cached\ntarget tar: its files are not in the output folder any more\ntarget vm: cached") {
		t.Errorf("an artefact is gone:\n%s", got)
	}
}

// TestKeys changes one input after the other: the keys of the steps that it
// goes into change, and those of the steps after, and no others.
func TestKeys(t *testing.T) {
	w := newWorld(t, debian())
	w.write("overlays/o/etc/f", "1")
	w.write("f.txt", "1")
	base := `packages = ["squid"]
  overlay = ["o"]
  file "/etc/x" { source = "f.txt" }
  user "u" {}
  run "one" { command = ["true"] }
`
	img, inputs := w.image(base)
	l, err := w.e.Fresh(context.Background(), img, inputs)
	if err != nil {
		t.Fatal(err)
	}
	keys := func(b *Build) map[string]string {
		out := map[string]string{}
		for _, s := range b.Steps {
			out[s.Name] = s.Key
		}
		return out
	}
	was := keys(w.build(img, l))
	for name, tc := range map[string]struct {
		prepare func()
		lines   string
		changed string
	}{
		"nothing":            {nil, base, ""},
		"lines moved":        {nil, "\n\n\n" + base, ""},
		"description":        {nil, base + `description = "for people"`, ""},
		"host name":          {nil, base + `hostname = "h"`, "customise run one target tar target vm"},
		"overlay's file":     {func() { w.write("overlays/o/etc/f", "2") }, base, "customise run one target tar target vm"},
		"file":               {func() { w.write("f.txt", "2") }, base, "customise run one target tar target vm"},
		"user":               {nil, strings.Replace(base, `user "u" {}`, `user "u" { comment = "c" }`, 1), "customise run one target tar target vm"},
		"units":              {nil, base + "units {\n    disable = [\"x.service\"]\n  }\n", "customise run one target tar target vm"},
		"command":            {nil, strings.Replace(base, `"true"`, `"false"`, 1), "run one target tar target vm"},
		"kernel's arguments": {nil, base + "kernel {\n    arguments = [\"quiet\"]\n  }\n", "target tar target vm"},
		"debconf":            {nil, base + "debconf \"squid/x\" {\n    type = \"string\"\n    value = \"y\"\n  }\n", "packages customise run one target tar target vm"},
		"exclude":            {nil, base + "exclude = [\"/usr/share/doc/*\"]\n", "packages customise run one target tar target vm"},
		"initramfs":          {nil, base + "initramfs {\n    compress = \"gzip\"\n  }\n", "packages customise run one target tar target vm"},
	} {
		t.Run(name, func(t *testing.T) {
			sub := *w
			sub.t = t
			w.write("overlays/o/etc/f", "1")
			w.write("f.txt", "1")
			if tc.prepare != nil {
				tc.prepare()
			}
			img, _ := sub.image(tc.lines)
			var changed []string
			b := sub.build(img, l)
			for _, s := range b.Steps {
				if was[s.Name] != s.Key {
					changed = append(changed, s.Name)
				}
			}
			if got := strings.Join(changed, " "); got != tc.changed {
				t.Errorf("changed: %q, want %q", got, tc.changed)
			}
		})
	}
	// The lock's side.
	w.write("overlays/o/etc/f", "1")
	w.write("f.txt", "1")
	img, _ = w.image(base)
	for name, change := range map[string]func(){
		"version": func() { l.Packages[3].Version += "+b1" }, "hash": func() { l.Packages[3].SHA256 = strings.Repeat("e", 64) },
		"auto": func() { l.Packages[3].Auto = !l.Packages[3].Auto }, "base": func() { l.Packages[3].Base = true },
		"order": func() { slices.Reverse(l.Packages) }, "epoch": func() { l.Epoch++ }, "fewer": func() { l.Packages = l.Packages[1:] },
	} {
		keep, epoch := slices.Clone(l.Packages), l.Epoch
		change()
		for step, key := range keys(w.build(img, l)) {
			if was[step] == key {
				t.Errorf("%s: step %s keeps its key", name, step)
			}
		}
		l.Packages, l.Epoch = keep, epoch
	}
	l.Packages[3].Why, l.Packages[3].File = "other", "pool/elsewhere.deb"
	for step, key := range keys(w.build(img, l)) {
		if was[step] != key {
			t.Errorf("where a package comes from changes the key of %s", step)
		}
	}
}

func TestExplain(t *testing.T) {
	parts := func(kv ...string) map[string]string {
		out := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			out[kv[i]] = kv[i+1]
		}
		return out
	}
	s := newStep("x", parts("a", "1", "b", "2"))
	for name, tc := range map[string]struct {
		old  record
		want string
	}{
		"nothing known": {record{}, "never built here"},
		"the same":      {record{"x": parts("a", "1", "b", "2", keyPart, s.Key)}, "its result is no longer in the store"},
		"changed":       {record{"x": parts("a", "0", "b", "2")}, "a was 0, is 1"},
		"new and gone":  {record{"x": parts("a", "1", "c", "3")}, "b is new; c is gone"},
		"long":          {record{"x": parts("a", strings.Repeat("f", 64), "b", "2")}, "a has changed"},
		"many":          {record{"x": parts("a", "1", "b", "2", "c", "", "d", "", "e", "", "f", "", "g", "", "h", "")}, "c is gone; d is gone; e is gone; f is gone; g is gone; and 1 more"},
	} {
		s.explain(tc.old, nil)
		if s.Reason != tc.want {
			t.Errorf("%s: %q, want %q", name, s.Reason, tc.want)
		}
	}
	s.Cached = true
	if s.explain(record{}, nil); s.Reason != "" {
		t.Errorf("cached, because %q", s.Reason)
	}
	if newStep("x", parts("a", "1 \"b\" 2")).Key == newStep("x", parts("a", "1", "b", "2")).Key {
		t.Error("two different sets of parts have one key")
	}
}

func TestArtefactNotes(t *testing.T) {
	w := newWorld(t, debian())
	img, inputs := w.image(``)
	l, err := w.e.Fresh(context.Background(), img, inputs)
	if err != nil {
		t.Fatal(err)
	}
	b := w.build(img, l)
	w.pretend(b)
	base, key := b.base(b.Targets[0]), b.targets[0].Key
	made, ok := w.e.artefacts(base, key)
	if !ok || len(made) != 1 {
		t.Fatalf("%v %t", made, ok)
	}
	if _, ok := w.e.artefacts(base, "other"); ok {
		t.Error("another key has the same artefacts")
	}
	file := made[0].Path
	st, _ := os.Stat(file)
	for name, damage := range map[string]func(){
		"longer":  func() { os.WriteFile(file, []byte("longer than before"), 0o644) },
		"touched": func() { os.Chtimes(file, st.ModTime().Add(1), st.ModTime().Add(1)) },
		"gone":    func() { os.Remove(file) },
		"note":    func() { os.WriteFile(w.e.notePath(base), []byte("{"), 0o644) },
	} {
		w.pretend(b)
		damage()
		if w.e.haveArtefacts(base, key) {
			t.Errorf("%s: still counts", name)
		}
	}
	w.pretend(b)
	moved := filepath.Join(t.TempDir(), "out")
	if err := os.Rename(w.e.OutDir, moved); err != nil {
		t.Fatal(err)
	}
	w.e.OutDir = moved
	if made, ok := w.e.artefacts(base, key); !ok || filepath.Dir(made[0].Path) != moved {
		t.Errorf("a folder that was moved: %v %t", made, ok)
	}
}
