package integration

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"cloudy/builder/tree"
)

// difference is one way in which two roots differ at one path.
type difference struct {
	path   string
	what   string // "missing", "extra", "type", "mode", "owner", "link", "device", "xattr", "content" or "packing"
	detail string
}

func (d difference) String() string { return fmt.Sprintf("/%s: %s: %s", d.path, d.what, d.detail) }

// allowed returns which rule allows the difference, or -1.
func (d difference) allowed() int {
	return slices.IndexFunc(allowed, func(a rule) bool {
		if !slices.Contains(strings.Fields(a.what), d.what) {
			return false
		}
		if below, ok := strings.CutSuffix(a.path, "/**"); ok {
			return strings.HasPrefix(d.path, below+"/")
		}
		ok, err := path.Match(a.path, d.path)
		return ok && err == nil
	})
}

// side is one root with what comparing it needs.
type side struct {
	entries       map[string]*tree.Entry
	users, groups map[uint32]string
	base          map[string]bool // packages whose marks of apt do not count
}

func newSide(t *tree.Tree, base map[string]bool) (*side, error) {
	s := &side{entries: map[string]*tree.Entry{}, base: base}
	for i := range t.Entries {
		s.entries[t.Entries[i].Path] = &t.Entries[i]
	}
	var err error
	if s.users, err = s.names("etc/passwd"); err == nil {
		s.groups, err = s.names("etc/group")
	}
	return s, err
}

// names reads number to name of passwd(5) or group(5).
func (s *side) names(file string) (map[uint32]string, error) {
	data, err := s.content(file)
	if err != nil {
		return nil, err
	}
	out := map[uint32]string{}
	for line := range strings.Lines(string(data)) {
		f := strings.Split(line, ":")
		if len(f) < 3 {
			return nil, fmt.Errorf("/%s: line %q", file, line)
		}
		n, err := strconv.ParseUint(strings.TrimSpace(f[2]), 10, 32)
		if err != nil {
			return nil, err
		}
		out[uint32(n)] = f[0]
	}
	return out, nil
}

func (s *side) content(p string) ([]byte, error) {
	e := s.entries[p]
	if e == nil {
		return nil, fmt.Errorf("/%s is missing", p)
	}
	if e.Type == tree.Hardlink {
		return s.content(e.Link)
	}
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func (s *side) owner(e *tree.Entry) string {
	name := func(names map[uint32]string, id uint32) string {
		if n, ok := names[id]; ok {
			return n
		}
		return "#" + strconv.FormatUint(uint64(id), 10)
	}
	return name(s.users, e.UID) + ":" + name(s.groups, e.GID)
}

// compare lists how ours differs from theirs. Owners are compared by name,
// since both sides number system users in the order of configuring. What apt
// thinks of the packages of base is left out: mmdebstrap installs them
// without apt, which then takes them for the user's choice.
func compare(theirs, ours *tree.Tree, base map[string]bool) ([]difference, error) {
	a, err := newSide(theirs, base)
	if err != nil {
		return nil, err
	}
	b, err := newSide(ours, base)
	if err != nil {
		return nil, err
	}
	var out []difference
	for i := range theirs.Entries {
		e := &theirs.Entries[i]
		o := b.entries[e.Path]
		if o == nil {
			out = append(out, difference{e.Path, "missing", "only in the reference"})
			continue
		}
		list, err := compareEntry(a, b, e, o)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	for i := range ours.Entries {
		if p := ours.Entries[i].Path; a.entries[p] == nil {
			out = append(out, difference{p, "extra", "not in the reference"})
		}
	}
	return out, nil
}

func compareEntry(a, b *side, e, o *tree.Entry) ([]difference, error) {
	var out []difference
	differ := func(what string, want, got any) {
		if w, g := fmt.Sprint(want), fmt.Sprint(got); w != g {
			out = append(out, difference{e.Path, what, fmt.Sprintf("%s in the reference, %s in ours", w, g)})
		}
	}
	differ("type", string(e.Type), string(o.Type))
	if e.Type != o.Type {
		return out, nil
	}
	differ("link", e.Link, o.Link)
	if e.Type == tree.Hardlink {
		return out, nil // the rest is its file's
	}
	differ("mode", strconv.FormatUint(uint64(e.Mode), 8), strconv.FormatUint(uint64(o.Mode), 8))
	differ("owner", a.owner(e), b.owner(o))
	differ("device", [2]uint32{e.Major, e.Minor}, [2]uint32{o.Major, o.Minor})
	differ("xattr", e.Xattrs, o.Xattrs)
	if e.Type != tree.File {
		return out, nil
	}
	want, err := a.content(e.Path)
	if err != nil {
		return nil, err
	}
	got, err := b.content(e.Path)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(want, got) {
		return out, nil
	}
	if strings.HasPrefix(e.Path, "boot/initrd.img-") {
		if want, got, err = bothUnpacked(want, got); err != nil {
			return nil, fmt.Errorf("/%s: %w", e.Path, err)
		}
		if bytes.Equal(want, got) {
			return append(out, difference{e.Path, "packing", "the same when unpacked"}), nil
		}
	}
	left, ok := a.items(e.Path, want)
	if !ok {
		return append(out, difference{e.Path, "content", firstDifference(want, got)}), nil
	}
	right, _ := b.items(e.Path, got)
	if l, r := without(left, right), without(right, left); len(l)+len(r) > 0 {
		out = append(out, difference{e.Path, "content", fmt.Sprintf("%q only in the reference, %q only in ours", l, r)})
	}
	return out, nil
}

// items cuts the content of files whose order says nothing into what has to
// be the same on both sides: lines of accounts without their numbers, marks
// of apt (which writes them in the order of a hash table), triggers (which
// dpkg writes in the order of packages).
func (s *side) items(p string, data []byte) ([]string, bool) {
	text := strings.TrimSpace(string(data))
	switch p {
	case "var/lib/apt/extended_states":
		return slices.DeleteFunc(strings.Split(text, "\n\n"), func(mark string) bool {
			first, _, _ := strings.Cut(mark, "\n")
			return s.base[strings.TrimPrefix(first, "Package: ")]
		}), true
	case "var/lib/dpkg/triggers/File", "etc/shadow", "etc/gshadow":
		return strings.Split(text, "\n"), true
	case "etc/passwd", "etc/group":
	default:
		return nil, false
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		f := strings.Split(line, ":")
		f[2] = ""
		if p == "etc/passwd" {
			if gid, err := strconv.ParseUint(f[3], 10, 32); err == nil {
				f[3] = s.groups[uint32(gid)]
			}
		}
		lines[i] = strings.Join(f, ":")
	}
	return lines, true
}

// firstDifference shows the first line that differs.
func firstDifference(want, got []byte) string {
	a, b := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := range max(len(a), len(b)) {
		var x, y string
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return fmt.Sprintf("line %d: %.200q in the reference, %.200q in ours", i+1, x, y)
		}
	}
	return fmt.Sprintf("%d bytes in the reference, %d in ours", len(want), len(got))
}

// bothUnpacked unpacks the member of gzip(1) in which two initramfs begin to
// differ. What is before it in both is the same: archives of what is packed
// already.
func bothUnpacked(a, b []byte) ([]byte, []byte, error) {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	start := bytes.LastIndex(a[:i], []byte{0x1f, 0x8b, 0x08}) // RFC 1952, section 2.3.1
	if start < 0 {
		return a, b, nil
	}
	unpack := func(data []byte) ([]byte, error) {
		z, err := gzip.NewReader(bytes.NewReader(data[start:]))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(z)
	}
	x, errA := unpack(a)
	y, errB := unpack(b)
	return x, y, errors.Join(errA, errB)
}
