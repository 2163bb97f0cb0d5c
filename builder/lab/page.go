package lab

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"slices"
	"time"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"clock": func(s Seconds) string {
		if s == 0 {
			return "–"
		}
		return fmt.Sprintf("%.1f s", float64(s))
	},
	"mib": func(n int64) string {
		if n == 0 {
			return "–"
		}
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	},
	"others": func(s *State) int { return len(s.Nodes) - 1 },
}).Parse(pageText))

// Page draws the lab as an HTML page that needs nothing else. With refresh
// the browser asks for it again after that time.
func Page(s *State, refresh time.Duration) ([]byte, error) {
	var b bytes.Buffer
	err := pageTemplate.Execute(&b, struct {
		*State
		Drawing *drawing
		Refresh int
		Times   []Times
		Now     time.Time
	}{s, draw(s), int(refresh.Seconds()), s.Times(), time.Now()})
	return b.Bytes(), err
}

// drawing is the lab laid out in the units of the SVG's view box.
type drawing struct {
	Width, Height float64
	Sites         []drawnSite
	Links         []drawnLink
	Mesh          []line
	Ready, Total  int
}

type line struct{ X1, Y1, X2, Y2 float64 }

type drawnSite struct {
	*SiteState
	X, Y, W, H float64 // of the box
	Dots       []dot
}

type dot struct {
	*NodeState
	X, Y  float64
	Class string
	Text  string // for who points at it
}

type drawnLink struct {
	*LinkState
	line
	MX, MY float64 // its middle
	Width  float64
	Text   string
}

// The sizes of the drawing.
const (
	dotStep  = 26.0
	dotsWide = 5
	boxHead  = 40.0
	boxWide  = dotsWide*dotStep + 106
)

// draw lays the sites out: the one with the most links in the middle, the
// others around it so that those that are linked come to lie side by side.
func draw(s *State) *drawing {
	d := &drawing{Width: 1180, Height: 760}
	index := map[string]int{}
	degree := make([]int, len(s.Sites))
	for i := range s.Sites {
		index[s.Sites[i].Name] = i
	}
	for _, l := range s.Links {
		degree[index[l.A]]++
		degree[index[l.B]]++
	}
	center := 0
	for i := range degree {
		if degree[i] > degree[center] {
			center = i
		}
	}
	ring := around(s, index, center)
	at := make([][2]float64, len(s.Sites))
	at[center] = [2]float64{d.Width / 2, d.Height / 2}
	for i, site := range ring {
		angle := 2*math.Pi*float64(i)/float64(len(ring)) - math.Pi/2
		at[site] = [2]float64{d.Width/2 + (d.Width/2-boxWide/2-10)*math.Cos(angle), d.Height/2 + (d.Height/2-75)*math.Sin(angle)}
	}
	dots := map[string]*dot{}
	for i := range s.Sites {
		site := drawnSite{SiteState: &s.Sites[i], W: boxWide}
		for n := range s.Nodes {
			if s.Nodes[n].Site == site.Name {
				k := len(site.Dots)
				site.Dots = append(site.Dots, dot{
					NodeState: &s.Nodes[n], X: float64(k%dotsWide)*dotStep + 48, Y: float64(k/dotsWide)*dotStep + boxHead + 8,
					Class: s.Nodes[n].class(), Text: s.Nodes[n].sentence(),
				})
				d.Total++
				if s.Nodes[n].Ready {
					d.Ready++
				}
			}
		}
		rows := (len(site.Dots) + dotsWide - 1) / dotsWide
		site.H = boxHead + float64(rows)*dotStep
		site.X, site.Y = at[i][0]-site.W/2, at[i][1]-site.H/2
		for k := range site.Dots {
			x := &site.Dots[k]
			x.X += site.X
			x.Y += site.Y
			if x.Mesh != "" {
				dots[x.Mesh] = x
			}
		}
		d.Sites = append(d.Sites, site)
	}
	for i := range s.Links {
		l := &s.Links[i]
		a, b := at[index[l.A]], at[index[l.B]]
		d.Links = append(d.Links, drawnLink{
			LinkState: l, line: line{a[0], a[1], b[0], b[1]}, MX: (a[0] + b[0]) / 2, MY: (a[1] + b[1]) / 2,
			Width: 1.5 + math.Log10(1+float64(l.Bytes)/1e5), Text: l.sentence(),
		})
	}
	for _, x := range dots {
		for _, to := range x.NodeState.Links {
			if y := dots[to]; y != nil {
				d.Mesh = append(d.Mesh, line{x.X, x.Y, y.X, y.Y})
			}
		}
	}
	slices.SortFunc(d.Mesh, func(a, b line) int {
		return slices.Compare([]float64{a.X1, a.Y1, a.X2, a.Y2}, []float64{b.X1, b.Y1, b.X2, b.Y2})
	})
	return d
}

// around returns all sites but the center, each after one that it is linked to.
func around(s *State, index map[string]int, center int) []int {
	seen := make([]bool, len(s.Sites))
	seen[center] = true
	var out []int
	var visit func(site int)
	visit = func(site int) {
		for _, l := range s.Links {
			a, b := index[l.A], index[l.B]
			if b == site {
				a, b = b, a
			}
			if a == site && !seen[b] {
				seen[b] = true
				out = append(out, b)
				visit(b)
			}
		}
	}
	visit(center)
	for i := range s.Sites {
		if !seen[i] {
			out = append(out, i)
		}
	}
	return out
}

// class is how the node is drawn.
func (n *NodeState) class() string {
	switch {
	case !n.On:
		return "off"
	case n.Cut:
		return "cut"
	case n.Ready && n.Reach != 0 && n.List != 0:
		return "whole"
	case n.Ready:
		return "ready"
	case n.Join != 0:
		return "joined"
	}
	return "boots"
}

func (n *NodeState) sentence() string {
	text := n.Name + ": " + n.Stage
	if n.Cut {
		text = n.Name + ": cut off; " + n.Stage
	}
	if n.Address4 != "" {
		text += fmt.Sprintf(", %s, hears of %d", n.Address4, n.Alive)
	}
	return text
}

func (l *LinkState) sentence() string {
	text := ""
	add := func(s string) {
		if text != "" {
			text += ", "
		}
		text += s
	}
	if !l.Up {
		add("cut")
	}
	if l.Delay != 0 {
		add(fmt.Sprintf("%g ms", float64(l.Delay)*1000))
	}
	if l.Loss != 0 {
		add(fmt.Sprintf("%g %% lost", l.Loss*100))
	}
	if l.Rate != 0 {
		add(fmt.Sprintf("%g Mbit/s", float64(l.Rate)/1e6))
	}
	return text
}

// Key explains the colours.
func (d *drawing) Key() map[string]string {
	return map[string]string{
		"off": "off", "boots": "boots", "joined": "has joined", "ready": "is ready", "whole": "reaches and lists all", "cut": "cut off",
	}
}

// Line describes the link in a few words.
func (l LinkState) Line() string { return l.sentence() }
