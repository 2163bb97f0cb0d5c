package report

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"math"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"cloudy/builder/progress"
)

// node is one rectangle of a treemap: a leaf, or a group with a title.
type node struct {
	name     string // in full
	short    string // as the label; empty for name
	size     int64
	children []*node
}

// packageNodes groups a root's packages by section, with all that no package
// owns as one more group.
func packageNodes(s *Sizes) *node {
	root, groups := &node{name: "packages"}, map[string]*node{}
	add := func(group, name string, size int64) {
		if size == 0 {
			return
		}
		g := groups[group]
		if g == nil {
			g = &node{name: group}
			groups[group] = g
			root.children = append(root.children, g)
		}
		g.children = append(g.children, &node{name: name, size: size})
		g.size += size
		root.size += size
	}
	for _, p := range s.Packages {
		_, section, ok := strings.Cut(p.Section, "/") // "non-free-firmware/kernel"
		if !ok {
			section = p.Section
		}
		add(cmp.Or(section, "other"), p.Name, p.Size)
	}
	for _, u := range s.Unowned {
		add("no package", "/"+strings.TrimPrefix(u.Name, "."), u.Size)
	}
	return root
}

// folderNodes is the tree of folders, depth levels deep.
func folderNodes(s *Sizes, depth int) *node {
	root := &node{name: "folders", size: s.Total}
	nodes := map[string]*node{".": root}
	sorted := slices.Clone(s.Folders)
	slices.SortFunc(sorted, func(a, b Sized) int { return strings.Compare(a.Name, b.Name) })
	for _, f := range sorted {
		if f.Name == "." || f.Size == 0 || strings.Count(f.Name, "/") >= depth {
			continue
		}
		parent := "."
		if i := strings.LastIndexByte(f.Name, '/'); i >= 0 {
			parent = f.Name[:i]
		}
		n := &node{name: "/" + f.Name, short: path.Base(f.Name), size: f.Size}
		if parent == "." {
			n.short = ""
		}
		nodes[f.Name] = n
		if p := nodes[parent]; p != nil {
			p.children = append(p.children, n)
		}
	}
	for _, n := range nodes {
		ownFiles(n)
	}
	return root
}

// ownFiles gives a folder a rectangle for the files right in it.
func ownFiles(n *node) {
	left := n.size
	for _, c := range n.children {
		left -= c.size
	}
	if len(n.children) > 0 && left > 0 {
		n.children = append(n.children, &node{name: "files here", size: left})
	}
}

// box is a rectangle in the units of the picture.
type box struct{ x, y, w, h float64 }

// squarify lays out areas (positive, largest first) in b so that the
// rectangles come near to squares (Bruls, Huizing, van Wijk: "Squarified
// Treemaps", 2000).
func squarify(areas []float64, b box) []box {
	var sum float64
	for _, a := range areas {
		sum += a
	}
	if sum <= 0 || b.w <= 0 || b.h <= 0 {
		return make([]box, len(areas))
	}
	scale := b.w * b.h / sum
	out := make([]box, 0, len(areas))
	for len(areas) > 0 {
		side := min(b.w, b.h)
		n, rowSum := 1, areas[0]*scale
		worst := worstRatio(areas[0]*scale, areas[0]*scale, rowSum, side)
		for n < len(areas) {
			next := areas[n] * scale
			ratio := worstRatio(areas[0]*scale, next, rowSum+next, side)
			if ratio > worst {
				break
			}
			worst, rowSum, n = ratio, rowSum+next, n+1
		}
		thick, at := rowSum/side, 0.0
		for _, a := range areas[:n] {
			long := a * scale / thick
			if b.w >= b.h {
				out = append(out, box{b.x, b.y + at, thick, long})
			} else {
				out = append(out, box{b.x + at, b.y, long, thick})
			}
			at += long
		}
		if b.w >= b.h {
			b.x, b.w = b.x+thick, max(0, b.w-thick)
		} else {
			b.y, b.h = b.y+thick, max(0, b.h-thick)
		}
		areas = areas[n:]
		if min(b.w, b.h) <= 0 {
			return append(out, make([]box, len(areas))...)
		}
	}
	return out
}

// worstRatio is the worst ratio of sides in a row whose largest and smallest
// areas, sum and length are given.
func worstRatio(largest, smallest, sum, side float64) float64 {
	s2, w2 := sum*sum, side*side
	return max(w2*largest/s2, s2/(w2*smallest))
}

// The picture's size in CSS pixels, and what its parts take.
const (
	mapWidth, mapHeight = 1200, 760
	titleHeight         = 16
	textHeight          = 11
	charWidth           = 6.2 // of an average character in an 11 pixel sans-serif font
)

// palette colours the groups; dark text on each has a contrast of 7:1 and more.
func palette(i int) string {
	return []string{"#8ecae6", "#ffd166", "#a8dadc", "#f4a6a0", "#b5e48c", "#cdb4db", "#ffcb9a", "#9ad1b5", "#d0c6b0", "#b8c0ff"}[i%10]
}

// svgMap draws a treemap.
type svgMap struct {
	out    *printer
	total  int64
	levels int // that have colours of their own; deeper ones take their parent's
	next   int // colour
}

// WriteTreemap writes a treemap of the packages (by section) or, with
// byFolder, of the folders, as an SVG that needs nothing else.
func WriteTreemap(w io.Writer, s *Sizes, byFolder bool) error {
	root, levels := packageNodes(s), 1
	if byFolder {
		root, levels = folderNodes(s, 4), 2 // all of a root is in /usr
	}
	m := &svgMap{out: &printer{w: w}, total: root.size, levels: levels}
	m.out.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="system-ui, sans-serif" font-size="%d">`+"\n",
		mapWidth, mapHeight, mapWidth, mapHeight, textHeight)
	m.out.printf("<title>%s in %s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n", progress.FormatBytes(s.Total), root.name)
	m.children(root, box{0, 0, mapWidth, mapHeight}, 0, "")
	m.out.printf("</svg>\n")
	return m.out.err
}

func (m *svgMap) children(n *node, b box, level int, fill string) {
	list := slices.Clone(n.children)
	slices.SortStableFunc(list, func(a, b *node) int { return cmp.Or(cmp.Compare(b.size, a.size), strings.Compare(a.name, b.name)) })
	areas := make([]float64, len(list))
	for i, c := range list {
		areas[i] = float64(c.size)
	}
	for i, r := range squarify(areas, b) {
		color := fill
		if level < m.levels {
			color = palette(m.next)
			m.next++
		}
		m.node(list[i], r, level, color)
	}
}

func (m *svgMap) node(n *node, b box, level int, fill string) {
	if b.w < 0.5 || b.h < 0.5 {
		return // nobody could see it
	}
	tip := fmt.Sprintf("%s: %s, %.1f%%", n.name, progress.FormatBytes(n.size), share(n.size, m.total))
	m.out.printf("<g><title>%s</title><rect x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\" fill=\"%s\" stroke=\"#ffffff\" stroke-width=\"%s\"/>",
		html.EscapeString(tip), px(b.x), px(b.y), px(b.w), px(b.h), fill, px(min(1, b.w/4, b.h/4)))
	const inner = 2
	if len(n.children) > 0 && b.w > 40 && b.h > 2*titleHeight {
		m.label(fitLabel(cmp.Or(n.short, n.name)+"  "+progress.FormatBytes(n.size), b.w-8), b.x+4, b.y+titleHeight-4, true)
		m.out.printf("</g>\n")
		m.children(n, box{b.x + inner, b.y + titleHeight, b.w - 2*inner, b.h - titleHeight - inner}, level+1, fill)
		return
	}
	if b.h >= textHeight+4 {
		if name := fitLabel(cmp.Or(n.short, n.name), b.w-6); name != "" {
			m.label(name, b.x+3, b.y+textHeight+2, false)
			if size := progress.FormatBytes(n.size); b.h >= 2*textHeight+8 && float64(len(size))*charWidth <= b.w-6 {
				m.label(size, b.x+3, b.y+2*textHeight+5, false)
			}
		}
	}
	m.out.printf("</g>\n")
}

func (m *svgMap) label(text string, x, y float64, bold bool) {
	weight := ""
	if bold {
		weight = ` font-weight="bold"`
	}
	m.out.printf("<text x=\"%s\" y=\"%s\" fill=\"#1b1b1b\"%s>%s</text>", px(x), px(y), weight, html.EscapeString(text))
}

// fitLabel cuts text to what fits into width pixels; "" when too little would be left.
func fitLabel(text string, width float64) string {
	n := int(width / charWidth)
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	if n < 4 {
		return ""
	}
	return string([]rune(text)[:n-1]) + "…"
}

// px writes a length with at most one decimal.
func px(v float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", math.Round(v*10)/10), ".0")
}
