package recipe

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// builder makes structs out of nodes.
type builder struct {
	*scope
	module *Module
	arch   string
}

// image makes the Image; with mistakes in b.diags it is incomplete.
func (b *builder) image(r *resolved) *Image {
	n := r.node
	b.complete(n)
	img := &Image{
		Name: n.label, Arch: b.arch, Range: n.at, From: r.chain[1:], module: b.module, node: n,
		Description: get(n, "description", ""),
		Variant:     get(n, "variant", "minbase"),
		Recommends:  get(n, "recommends", false),
		Hostname:    get(n, "hostname", ""),
		Locale:      get(n, "locale", ""),
		Timezone:    get(n, "timezone", ""),
		Grow:        get(n, "grow", Grow{Enabled: true}),
		Release:     get(n, "release", ""),
		Epoch:       optional(n, "source_date_epoch"),
		Initramfs:   Initramfs{Modules: "most", Compress: "zstd"},
	}
	img.Archives = b.archives(n)
	if v := n.attrs["archives"]; len(b.module.order["archive"]) == 0 {
		b.errorf(n.at, "For example: archive \"debian\" { suites = [\"trixie\"] }", "Image %q has no archive to take packages from", n.label)
	} else if v != nil && !v.bad && len(v.items) == 0 {
		b.errorf(v.at, "", "Image %q has no archive to take packages from", n.label)
	}
	img.Services = b.services(n)
	img.Board = b.boardOf(n)
	img.Packages, img.Unwanted = b.packages(n, img.Services, img.Board)
	img.Overlays = b.overlays(n)
	for _, f := range n.children("file") {
		img.Files = append(img.Files, b.file(f))
	}
	for _, d := range n.children("directory") {
		img.Directories = append(img.Directories, Directory{
			Path: d.label, Mode: get(d, "mode", uint32(0o755)), Owner: get(d, "owner", "root"), Group: get(d, "group", "root"), Range: d.at,
		})
		if f := n.child("file", d.label); f != nil {
			b.errorf(d.at, "The file is at "+place(f.at)+".", "%s cannot be a file and a directory", d.label)
		}
	}
	for _, g := range n.children("group") {
		img.Groups = append(img.Groups, Group{Name: g.label, GID: optional(g, "gid"), System: get(g, "system", false), Range: g.at})
	}
	for _, u := range n.children("user") {
		img.Users = append(img.Users, user(u))
	}
	b.sameNumbers(n)
	for _, d := range n.children("debconf") {
		owner, _, _ := strings.Cut(d.label, "/")
		img.Debconf = append(img.Debconf, Debconf{
			Package: get(d, "package", Package{Name: owner}).Name, Question: d.label,
			Type: get(d, "type", ""), Value: get(d, "value", ""), Range: d.at,
		})
	}
	for _, x := range n.children("run") {
		img.Runs = append(img.Runs, Run{
			Name: x.label, Command: x.strings("command"), Script: get(x, "script", ""), Env: x.stringMap("env"),
			Network: get(x, "network", false), Timeout: get(x, "timeout", 10*time.Minute), Inputs: x.strings("inputs"), Range: x.at,
		})
		if v := x.attrs["command"]; v != nil && !v.bad && len(v.items) == 0 {
			b.errorf(v.at, "", "The command of run %q is empty", x.label)
		}
	}
	img.Units = b.units(n, img.Services)
	if k := n.child("kernel", ""); k != nil {
		img.Kernel.Arguments = unique(k.texts("arguments"))
	}
	if i := n.child("initramfs", ""); i != nil {
		img.Initramfs = Initramfs{Modules: get(i, "modules", "most"), Include: i.strings("include"), Compress: get(i, "compress", "zstd")}
	}
	if x := n.child("mesh", ""); x != nil {
		img.Mesh = b.mesh(x)
	}
	if x := n.child("page", ""); x != nil {
		img.Page = b.page(x)
	}
	for _, t := range unique(n.texts("exclude")) {
		pattern, include := strings.CutPrefix(t.Value, "!")
		img.Exclude = append(img.Exclude, PathRule{Pattern: pattern, Include: include, Range: t.Range})
	}
	img.Targets = b.targets(n)
	if img.Board == nil { // none for this architecture
		img.Targets = slices.DeleteFunc(img.Targets, func(t Target) bool { return t.Name == "sdcard" })
	}
	b.localeNeeds(n, img)
	b.nodeConfig(img)
	return img
}

// localeNeeds adds the package that generates the image's locale, unless the
// recipe has it, or one with all locales, or does not want it.
func (b *builder) localeNeeds(n *node, img *Image) {
	if img.Locale == "" || img.Locale == "POSIX" || img.Locale == "C" || strings.HasPrefix(img.Locale, "C.") {
		return
	}
	named := func(p Package) bool { return p.Name == "locales" || p.Name == "locales-all" }
	if slices.ContainsFunc(img.Packages, named) {
		return
	}
	at := n.where("locale")
	if slices.ContainsFunc(img.Unwanted, func(p Package) bool { return p.Name == "locales" }) {
		b.diags = append(b.diags, Warnf(at, "Take \"-locales\" out of packages.", "The locale %q needs the package locales", img.Locale))
		return
	}
	img.Packages = append(img.Packages, Package{Name: "locales", Range: at})
}

func optional(n *node, name string) *int64 {
	if it, ok := n.first(name); ok {
		if v, ok := it.goval.(int64); ok {
			return &v
		}
	}
	return nil
}

// unique drops later repetitions: a child may repeat what it inherits.
func unique(list []Text) []Text {
	seen := map[string]bool{}
	var out []Text
	for _, t := range list {
		if !seen[t.Value] {
			seen[t.Value] = true
			out = append(out, t)
		}
	}
	return out
}

func (b *builder) file(n *node) File {
	f := File{
		Path: n.label, Mode: get(n, "mode", uint32(0o644)), Owner: get(n, "owner", "root"), Group: get(n, "group", "root"),
		Link: get(n, "link", ""), Absent: get(n, "absent", false), Range: n.at,
	}
	if _, ok := n.first("content"); ok {
		f.Blob = textBlob(get(n, "content", ""))
	}
	if it, ok := n.first("source"); ok {
		f.Blob = b.sourceFile(it, KindInclude)
	}
	if v := n.attrs["link"]; v != nil && !v.bad && f.Link == "" {
		b.errorf(v.at, "", "A link needs a target")
	}
	if v := n.attrs["absent"]; v != nil && !v.bad && !f.Absent {
		b.errorf(v.at, "Leave absent out.", "file %q has neither content nor link", n.label)
	}
	return f
}

// textBlob is a Blob of text that stands in the recipe.
func textBlob(s string) Blob {
	sum := sha256.Sum256([]byte(s))
	return Blob{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(s)), open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader([]byte(s))), nil
	}}
}

// sourceFile reads a file of the recipe folder by reference.
func (b *builder) sourceFile(it item, kind string) Blob {
	name := it.goval.(string)
	blob, err := b.module.source.blob(name, kind)
	if err != nil {
		var there []string
		if entries, err := fs.ReadDir(b.module.source.fsys, path.Dir(path.Clean(name))); err == nil {
			for _, e := range entries {
				there = append(there, path.Join(path.Dir(path.Clean(name)), e.Name()))
			}
		}
		hint := ""
		if best := Nearest(name, there); best != "" {
			hint = fmt.Sprintf("Did you mean %q?", best)
		}
		b.errorf(it.at, hint, "Cannot read the file: %v", err)
	}
	return blob
}

func user(n *node) User {
	u := User{
		Name: n.label, UID: optional(n, "uid"), Group: get(n, "group", ""), Groups: unique(n.texts("groups")), Comment: get(n, "comment", ""),
		PasswordHash: get(n, "password_hash", ""), NoPassword: get(n, "no_password", false), Lock: get(n, "lock", false),
		SSHAuthorizedKeys: n.strings("ssh_authorized_keys"), System: get(n, "system", false), Range: n.at,
	}
	shell, home := "/bin/bash", "/home/"+u.Name
	switch {
	case u.Name == "root":
		shell, home = "", ""
	case u.System:
		shell, home = "/usr/sbin/nologin", "/nonexistent"
	}
	u.Shell, u.Home = get(n, "shell", shell), get(n, "home", home)
	return u
}

// sameNumbers reports two users or two groups of one number.
func (b *builder) sameNumbers(n *node) {
	for _, pair := range [][2]string{{"user", "uid"}, {"group", "gid"}} {
		kind, attr := pair[0], pair[1]
		seen := map[int64]*node{}
		for _, u := range n.children(kind) {
			id := optional(u, attr)
			if id == nil {
				continue
			}
			if first := seen[*id]; first != nil {
				b.errorf(u.where(attr), fmt.Sprintf("%s %q has it, at %s.", kind, first.label, place(first.where(attr))), "%s %d is taken", strings.ToUpper(attr), *id)
			}
			seen[*id] = u
		}
	}
}

// packages works through the requests from the oldest ancestor down.
func (b *builder) packages(n *node, services []Service, board *Board) (want, unwanted []Package) {
	type request struct {
		Package
		depth   int
		service bool
	}
	var all []request
	if v := n.attrs["packages"]; v != nil {
		for _, it := range v.items {
			p := it.goval.(Package)
			p.Range = it.at
			all = append(all, request{p, it.depth, false})
		}
	}
	depthOf := map[string]int{}
	if v := n.attrs["services"]; v != nil {
		for _, it := range v.items {
			depthOf[it.goval.(string)] = it.depth
		}
	}
	for _, s := range services {
		for _, p := range s.allPackages() {
			all = append(all, request{p, depthOf[s.Name], true})
		}
	}
	if board != nil {
		it, _ := n.child("target", "sdcard").first("board")
		for _, p := range board.Packages {
			all = append(all, request{p, it.depth, true})
		}
	}
	slices.SortStableFunc(all, func(a, b request) int { return a.depth - b.depth })
	dropped := map[string]request{}
	at := map[string]request{}
	var order []string
	for _, r := range all {
		key := r.key()
		if r.drop {
			for k, old := range at {
				if old.Name != r.Name || r.Arch != "" && old.Arch != r.Arch {
					continue
				}
				if old.depth == r.depth && !old.service {
					b.errorf(r.Range, "It is asked for at "+place(old.Range)+".", "Package %q is asked for and dropped in one image", r.Name)
					continue
				}
				delete(at, k)
			}
			dropped[key] = r
			continue
		}
		if d, ok := dropped[r.Name+":"]; ok && d.depth == r.depth {
			if !r.service {
				b.errorf(d.Range, "It is asked for at "+place(r.Range)+".", "Package %q is asked for and dropped in one image", r.Name)
			}
			continue
		}
		delete(dropped, key)
		delete(dropped, r.Name+":")
		if old, ok := at[key]; ok && old.depth == r.depth && !r.service && !old.service {
			if old.String() != r.String() {
				b.errorf(r.Range, "The other one is at "+place(old.Range)+".", "Package %q is asked for as %q and as %q", r.Name, old.Package, r.Package)
				continue
			}
			b.diags = append(b.diags, Warnf(r.Range, "The first one is at "+place(old.Range)+".", "Package %q stands twice", r.Package))
		}
		if !slices.Contains(order, key) {
			order = append(order, key)
		}
		if old, ok := at[key]; ok && r.service && (old.Version != "" || old.Suite != "") {
			continue // the image's own wish is more exact than the service's
		}
		at[key] = r
	}
	for _, key := range order {
		if r, ok := at[key]; ok {
			want = append(want, r.Package)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(dropped)) {
		unwanted = append(unwanted, dropped[key].Package)
	}
	return want, unwanted
}

// units settles what holds for each unit: the youngest image has the last
// word; in one image a unit can stand in one list.
func (b *builder) units(n *node, services []Service) Units {
	type state struct {
		verb  string
		text  Text
		depth int
	}
	at := map[string]state{}
	for _, s := range services {
		units := slices.Clone(s.Units)
		for _, r := range s.Roles {
			units = append(units, r.Units...)
		}
		for _, u := range units {
			at[u.Value] = state{"disable", u, -1}
		}
	}
	if u := n.child("units", ""); u != nil {
		for _, verb := range []string{"enable", "disable", "mask"} {
			v := u.attrs[verb]
			if v == nil {
				continue
			}
			for _, it := range v.items {
				name := it.goval.(string)
				old, ok := at[name]
				switch {
				case ok && old.depth == it.depth && old.verb != verb:
					b.errorf(it.at, "The other one is at "+place(old.text.Range)+".", "Unit %q is in %s and in %s", name, old.verb, verb)
				case !ok || it.depth >= old.depth:
					at[name] = state{verb, Text{name, it.at}, it.depth}
				}
			}
		}
	}
	var out Units
	for _, name := range slices.Sorted(maps.Keys(at)) {
		s := at[name]
		switch s.verb {
		case "enable":
			out.Enable = append(out.Enable, s.text)
		case "disable":
			out.Disable = append(out.Disable, s.text)
		case "mask":
			out.Mask = append(out.Mask, s.text)
		}
	}
	return out
}

// targets makes those that the architecture can have.
func (b *builder) targets(n *node) []Target {
	image := n.strings("architectures")
	if len(image) == 0 {
		image = []string{"amd64", "arm64"}
	}
	var out []Target
	for _, t := range n.children("target") {
		can := t.def.Architectures
		if v := t.attrs["architectures"]; v != nil {
			for _, it := range v.items {
				a := it.goval.(string)
				switch {
				case len(can) > 0 && !slices.Contains(can, a):
					b.errorf(it.at, "It can be built for "+strings.Join(can, ", ")+".", "Target %q cannot be built for %s", t.label, a)
				case !slices.Contains(image, a):
					b.errorf(it.at, "The image is for "+strings.Join(image, ", ")+".", "Target %q: the image is not for %s", t.label, a)
				}
			}
		}
		archs := targetArchitectures(t, image)
		if len(archs) == 0 && t.attrs["architectures"] == nil {
			b.errorf(t.at, fmt.Sprintf("It can be built for %s; the image is for %s.", strings.Join(can, ", "), strings.Join(image, ", ")),
				"Target %q cannot be built for any architecture of the image", t.label)
		}
		if !slices.Contains(archs, b.arch) {
			continue
		}
		if v := t.attrs["boot"]; v != nil && !v.bad && b.arch != "amd64" && b.arch != "i386" {
			kept := *v
			kept.items = slices.DeleteFunc(slices.Clone(v.items), func(it item) bool { return it.goval == "bios" })
			if len(kept.items) == 0 && len(v.items) > 0 {
				b.errorf(v.at, "Add \"uefi\".", "Target %q cannot boot on %s: BIOS is for amd64 and i386", t.label, b.arch)
			}
			c := *t
			c.attrs = maps.Clone(t.attrs)
			c.attrs["boot"] = &kept
			t = &c
		}
		for _, name := range []string{"formats", "boot"} {
			if v := t.attrs[name]; v != nil && !v.bad && len(v.items) == 0 && name == "formats" {
				b.errorf(v.at, "", "Target %q has no format to write", t.label)
			}
		}
		out = append(out, Target{Name: t.label, Range: t.at, node: t})
	}
	return out
}
