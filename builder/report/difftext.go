package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"cloudy/builder/progress"
)

// WritePackageDiff writes the difference of two sets of packages, a line each:
// "+" added, "-" removed, "~" changed.
func WritePackageDiff(w io.Writer, d *PackageDiff) error {
	out := &printer{w: w}
	for _, p := range d.Removed {
		out.printf("- %s %s\n", label(p.Name, p.Architecture), p.Version)
	}
	for _, p := range d.Added {
		out.printf("+ %s %s\n", label(p.Name, p.Architecture), p.Version)
	}
	for _, c := range d.Changed {
		if c.Content {
			out.printf("~ %s %s, the same version with other content\n", label(c.Name, c.Architecture), c.From)
		} else {
			out.printf("~ %s %s -> %s\n", label(c.Name, c.Architecture), c.From, c.To)
		}
	}
	return out.err
}

func label(name, arch string) string { return name + ":" + arch }

// WriteDiff writes the difference of two roots for people: packages, then
// files, then totals. limit bounds the lines of files of each kind; 0 means all.
func WriteDiff(w io.Writer, d *Diff, limit int) error {
	out := &printer{w: w}
	if d.Empty() {
		out.printf("no difference\n")
		return out.err
	}
	if !d.Packages.Empty() {
		out.printf("packages: %d added, %d removed, %d changed\n", len(d.Packages.Added), len(d.Packages.Removed), len(d.Packages.Changed))
		var b strings.Builder
		if err := WritePackageDiff(&b, &d.Packages); err != nil {
			return err
		}
		out.printf("%s\n", b.String())
	}
	out.printf("files: %d added, %d removed, %d changed\n", len(d.Added), len(d.Removed), len(d.Changed))
	lines := func(sign string, list []FileEntry) {
		for i, f := range list {
			if limit > 0 && i == limit {
				out.printf("%s and %d more\n", sign, len(list)-limit)
				return
			}
			out.printf("%s /%s  %s\n", sign, f.Path, describe(f.FileInfo))
		}
	}
	lines("-", d.Removed)
	lines("+", d.Added)
	for i, c := range d.Changed {
		if limit > 0 && i == limit {
			out.printf("~ and %d more\n", len(d.Changed)-limit)
			break
		}
		out.printf("~ /%s  %s\n", c.Path, changes(c))
	}
	sign := "+"
	grown := d.To - d.From
	if grown < 0 {
		sign, grown = "-", -grown
	}
	out.printf("\nsize: %s -> %s (%s%s)\n", progress.FormatBytes(d.From), progress.FormatBytes(d.To), sign, progress.FormatBytes(grown))
	return out.err
}

func describe(f FileInfo) string {
	parts := []string{f.Type, f.Mode, f.Owner}
	if f.Type == "file" {
		parts = append(parts, progress.FormatBytes(f.Size))
	}
	if f.Link != "" {
		parts = append(parts, "-> "+f.Link)
	}
	return strings.Join(parts, " ")
}

// changes says what of a file differs, with both values where they are short.
func changes(c FileChange) string {
	var parts []string
	for _, what := range c.What {
		from, to := "", ""
		switch what {
		case "type":
			from, to = c.From.Type, c.To.Type
		case "mode":
			from, to = c.From.Mode, c.To.Mode
		case "owner":
			from, to = c.From.Owner, c.To.Owner
		case "size":
			from, to = progress.FormatBytes(c.From.Size), progress.FormatBytes(c.To.Size)
			if from == to {
				from, to = fmt.Sprintf("%d B", c.From.Size), fmt.Sprintf("%d B", c.To.Size)
			}
		case "link", "device":
			from, to = quoteEmpty(c.From.Link), quoteEmpty(c.To.Link)
		}
		if from+to != "" {
			what += " " + from + " -> " + to
		}
		if !slices.Contains(parts, what) {
			parts = append(parts, what)
		}
	}
	return strings.Join(parts, ", ")
}

func quoteEmpty(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
