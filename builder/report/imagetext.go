package report

import (
	"fmt"
	"io"
	"strings"

	"cloudy/builder/progress"
)

// WriteImage writes what an image is, for people.
func WriteImage(w io.Writer, img *Image) error {
	out := &printer{w: w}
	format := img.Format
	if len(img.Compression) > 0 {
		format += " in " + strings.Join(img.Compression, " in ")
	}
	out.printf("%s: %s, %s", img.Path, format, progress.FormatBytes(img.Size))
	if img.DiskSize > 0 && img.DiskSize != img.Size {
		out.printf(", a disk of %s", progress.FormatBytes(img.DiskSize))
	}
	out.printf("\n")
	if img.Contents != nil {
		out.printf("  %s\n", contentsText(img.Contents))
	}
	if img.Filesystem != nil {
		out.filesystem("  ", img.Filesystem)
	}
	for _, p := range img.Platforms {
		out.printf("  %s  %d layers, %s  %s\n", orUnknown(p.Name), p.Layers, progress.FormatBytes(p.Size), p.Digest)
		if p.Contents != nil {
			out.printf("    %s\n", contentsText(p.Contents))
		}
	}
	if t := img.Table; t != nil {
		out.printf("  %s table %s\n", t.Kind, t.ID)
		if t.Problem != "" {
			out.printf("  problem: %s\n", t.Problem)
		}
		width := [2]int{}
		for _, p := range t.Partitions {
			width[0], width[1] = max(width[0], len(p.Name)), max(width[1], len(p.Type))
		}
		for _, p := range t.Partitions {
			line := fmt.Sprintf("  %3d  %-*s  %-*s  %10s at %s", p.Number, width[0], p.Name, width[1], p.Type,
				progress.FormatBytes(p.Size), progress.FormatBytes(p.Start))
			out.printf("%s\n", line)
			if p.Filesystem != nil {
				out.filesystem("       ", p.Filesystem)
			}
		}
	}
	return out.err
}

func (p *printer) filesystem(indent string, fs *Filesystem) {
	parts := []string{fs.Type}
	if fs.Label != "" {
		parts = append(parts, fmt.Sprintf("%q", fs.Label))
	}
	if fs.UUID != "" {
		parts = append(parts, fs.UUID)
	}
	line := strings.Join(parts, " ")
	if fs.Used > 0 {
		line += fmt.Sprintf(", %s of %s used", progress.FormatBytes(fs.Used), progress.FormatBytes(fs.Size))
	} else if fs.Size > 0 {
		line += ", " + progress.FormatBytes(fs.Size)
	}
	p.printf("%s%s\n", indent, line)
	if fs.Contents != nil {
		p.printf("%s%s\n", indent, contentsText(fs.Contents))
	}
	if fs.Problem != "" {
		p.printf("%sproblem: %s\n", indent, fs.Problem)
	}
	for _, in := range fs.Inside {
		p.printf("%s%s\n", indent, in.Path)
		p.filesystem(indent+"  ", in.Filesystem)
	}
}

func contentsText(c *Contents) string {
	text := fmt.Sprintf("%d entries, %s", c.Files, progress.FormatBytes(c.Size))
	if c.Packages > 0 {
		text = fmt.Sprintf("%d packages, %s", c.Packages, text)
	}
	if c.Release.Pretty != "" {
		text = c.Release.Pretty + ", " + text
	}
	return text
}
