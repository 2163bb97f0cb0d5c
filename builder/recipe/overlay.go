package recipe

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// overlays returns the overlays of the image's services and then its own,
// each once, at the place of its last mention.
func (b *builder) overlays(n *node) []Overlay {
	var list []Text
	if v := n.attrs["services"]; v != nil {
		for _, it := range v.items {
			if name := it.goval.(string); b.module.blocks["service"][name] != nil {
				list = append(list, b.resolve("service", name, nil).node.texts("overlay")...)
			}
		}
	}
	list = append(list, n.texts("overlay")...)
	var out []Overlay
	for _, t := range unique(list) {
		out = append(out, b.overlay(t))
	}
	return out
}

// overlay lists the folder of one overlay with the owners and modes that the
// recipe declares. Nothing of the checkout counts but names, content and
// whether a file is executable.
func (b *builder) overlay(t Text) Overlay {
	o := Overlay{Name: t.Value, Range: t.Range}
	if !b.module.overlays[t.Value] {
		if b.module.blocks["overlay"][t.Value] == nil { // else reported there
			b.errorf(t.Range, b.module.suggestOverlay(t.Value), "There is no overlay %q (folder overlays/%s)", t.Value, t.Value)
		}
		return o
	}
	var rules []*node
	if b.module.blocks["overlay"][t.Value] != nil {
		r := b.resolve("overlay", t.Value, nil)
		b.diags = append(b.diags, r.diags...)
		rules = r.node.children("rule")
	}
	root := path.Join("overlays", t.Value)
	used := make([]bool, len(rules))
	err := fs.WalkDir(b.module.source.fsys, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(name, root), "/")
		if rel == "" || path.Base(rel) == ".gitkeep" { // git cannot keep an empty folder without a file in it
			return nil
		}
		e, err := b.overlayEntry(name, rel, d)
		if err != nil {
			return err
		}
		for i, r := range rules {
			if ok, _ := doublestar.Match(r.label, rel); ok {
				used[i] = true
				e.Declared = true
				e.Mode, e.Owner, e.Group = get(r, "mode", e.Mode), get(r, "owner", e.Owner), get(r, "group", e.Group)
			}
		}
		o.Entries = append(o.Entries, e)
		return nil
	})
	if err != nil {
		b.errorf(t.Range, "", "Cannot read overlay %q: %v", t.Value, plainPathError(err))
	}
	for i, r := range rules {
		if !used[i] && globLabel(r.label) == nil {
			b.diags = append(b.diags, Warnf(r.at, "", "No path of overlay %q matches %q", t.Value, r.label))
		}
	}
	slices.SortFunc(o.Entries, func(a, b OverlayEntry) int { return compareStrings(a.Path, b.Path) })
	return o
}

var errOverlayType = errors.New("only files, folders and symbolic links can stand in an overlay")

func (b *builder) overlayEntry(name, rel string, d fs.DirEntry) (OverlayEntry, error) {
	e := OverlayEntry{Path: rel, Owner: "root", Group: "root"}
	fsys := b.module.source.fsys
	switch {
	case d.IsDir():
		e.Type, e.Mode = 'd', 0o755
	case d.Type()&fs.ModeSymlink != 0:
		link, err := fs.ReadLink(fsys, name)
		if err != nil {
			return e, err
		}
		e.Type, e.Mode, e.Link = 'l', 0o777, link
		b.module.source.note(KindOverlay, name, textBlob("link\x00"+link).SHA256)
	case d.Type().IsRegular():
		blob, err := b.module.source.blob(name, KindOverlay)
		if err != nil {
			return e, err
		}
		info, err := d.Info()
		if err != nil {
			return e, err
		}
		e.Type, e.Mode, e.Blob = 'f', 0o644, blob
		// An embedded overlay has no permission bits, and a checkout may have
		// lost them: a script says by its first line what it is.
		if info.Mode()&0o111 != 0 || isScript(fsys, name) {
			e.Mode = 0o755
		}
	default:
		return e, &fs.PathError{Op: "read", Path: name, Err: errOverlayType}
	}
	return e, nil
}

func isScript(fsys fs.FS, name string) bool {
	f, err := fsys.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [2]byte
	n, _ := io.ReadFull(f, head[:])
	return string(head[:n]) == "#!"
}
