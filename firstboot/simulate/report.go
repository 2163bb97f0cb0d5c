package simulate

import (
	"bytes"
	"fmt"
	"math"
	"time"
)

// Seed is that of the runs in docs/scale.md.
const Seed = 1

// Standard is the run of the document's table for a mesh of n members.
func Standard(n int) Config {
	c := Config{Members: n, Seed: Seed, Spread: 30 * time.Second, Idle: 10 * time.Minute}
	if n > 200 {
		c.Spread = 60 * time.Second
	}
	return c
}

// Row is a mesh's line of the document's table.
func (r Result) Row() string {
	return fmt.Sprintf("| %s | %s | %s | %s | %.2f | %s | %s | %s | %s | %s | %s | %d | %.1f |",
		number(r.Members), span(r.Joined), span(r.Known), size(r.Startup+r.Records), r.Idle*8/1000, rate(r.Underlay),
		span(r.Change90), span(r.ChangeAll), number(int(r.ChangePackets)), size(r.ChangeBytes), span(r.Death), r.MostLinks, r.Hops)
}

// Head is the head of the table of Rows.
const Head = `| members | all in everybody's gossip | all records known | bytes a node for that | idle gossip, kbit/s a node | idle with tinc's own | a change at 90 % | at all | packets for it, whole mesh | bytes | a death known to all | links of the inviter | hops of tinc |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|`

// ZoneHead is the head of the table of zones.
const ZoneHead = `| members | zones | gateways | all records known, in the slowest zone | in the backbone | bytes a node for that | a gateway | idle gossip, kbit/s a node | a gateway | idle with tinc's own, a node | a gateway | a change in its zone | everywhere | a death known in its zone |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|`

// Row is the zones' line of the document's table.
func (z Zones) Row() string {
	return fmt.Sprintf("| %s | %d of %d | %d | %s | %s | %s | %s | %.2f | %.2f | %s | %s | %s | %s | %s |",
		number(z.Members), z.Zones, z.Largest, z.Backbone.Members, span(z.Zone.Known), span(z.Backbone.Known),
		size(z.Zone.Startup+z.Zone.Records), size(z.GatewayStart), z.Idle*8/1000, z.GatewayIdle*8/1000,
		rate(z.Zone.Underlay), rate(z.Zone.Underlay+z.Backbone.Underlay),
		span(z.Zone.ChangeAll), span(z.Everywhere), span(z.Zone.Death))
}

func span(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 3*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f min", d.Minutes())
}

// rate is bytes a second as bits.
func rate(v float64) string {
	if v *= 8; v < 1e6 {
		return fmt.Sprintf("%.0f kbit/s", v/1e3)
	}
	return fmt.Sprintf("%.1f Mbit/s", v/1e6)
}

func number(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func size(b int64) string {
	switch {
	case b < 10_000:
		return fmt.Sprintf("%.1f kB", float64(b)/1e3)
	case b < 1_000_000:
		return fmt.Sprintf("%.0f kB", float64(b)/1e3)
	case b < 10_000_000:
		return fmt.Sprintf("%.1f MB", float64(b)/1e6)
	}
	return fmt.Sprintf("%.0f MB", float64(b)/1e6)
}

// Series is one line of a plot.
type Series struct {
	Name   string
	Colour string // as SVG has it, for both light and dark
	Points [][2]float64
}

// Plot draws series over a logarithmic axis of members, and a linear one from
// nought to top, as SVG that is readable on light and dark.
func Plot(title, unit string, top float64, series []Series) []byte {
	const w, h, left, right, up, down = 720, 320, 64, 200, 40, 44
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s" font-family="sans-serif" font-size="12">
<style>text{fill:#222}.g{stroke:#8884;fill:none}@media(prefers-color-scheme:dark){text{fill:#ddd}}</style>
<text x="%d" y="20" font-size="14">%s</text>
`, w, h, title, left, title)
	lo, hi := math.Inf(1), 0.0
	for _, s := range series {
		for _, p := range s.Points {
			lo, hi = min(lo, p[0]), max(hi, p[0])
		}
	}
	x := func(v float64) float64 {
		return left + (math.Log(v)-math.Log(lo))/(math.Log(hi)-math.Log(lo))*(w-left-right)
	}
	y := func(v float64) float64 { return h - down - v/top*(h-up-down) }
	for i := range 5 {
		v := top * float64(i) / 4
		fmt.Fprintf(&b, `<path class="g" d="M%d %.1fH%d"/><text x="%d" y="%.1f" text-anchor="end">%.4g</text>`+"\n", left, y(v), w-right, left-8, y(v)+4, v)
	}
	seen := map[float64]bool{}
	last := math.Inf(-1)
	for _, s := range series {
		for _, p := range s.Points {
			if !seen[p[0]] && x(p[0])-last > 30 {
				fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(p[0]), h-down+18, number(int(p[0])))
				last = x(p[0])
			}
			seen[p[0]] = true
		}
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">members</text><text x="%d" y="%d">%s</text>`+"\n", (left+w-right)/2, h-8, 8, up-4, unit)
	for i, s := range series {
		fmt.Fprintf(&b, `<path fill="none" stroke="%s" stroke-width="2" d="`, s.Colour)
		for j, p := range s.Points {
			c := "L"
			if j == 0 {
				c = "M"
			}
			fmt.Fprintf(&b, "%s%.1f %.1f", c, x(p[0]), y(p[1]))
		}
		fmt.Fprint(&b, "\"/>\n")
		for _, p := range s.Points {
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, x(p[0]), y(p[1]), s.Colour)
		}
		fmt.Fprintf(&b, "\n"+`<path stroke="%s" stroke-width="2" d="M%d %dh16"/><text x="%d" y="%d">%s</text>`+"\n", s.Colour, w-right+12, up+16+20*i, w-right+34, up+20+20*i, s.Name)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
