package report

import (
	"fmt"
	"io"
	"strings"

	"cloudy/builder/progress"
)

// WriteSizes writes the largest packages, unowned groups and folders as
// tables, limit lines of each; 0 means all.
func WriteSizes(w io.Writer, s *Sizes, limit int) error {
	out := &printer{w: w}
	var owned, unowned int64
	for _, p := range s.Packages {
		owned += p.Size
	}
	for _, u := range s.Unowned {
		unowned += u.Size
	}
	out.printf("%s in %d files: %s in %d packages, %s that no package owns\n", progress.FormatBytes(s.Total), s.Files,
		progress.FormatBytes(owned), len(s.Packages), progress.FormatBytes(unowned))
	for _, part := range []struct {
		title string
		list  []Sized
	}{{"packages", s.Packages}, {"no package", s.Unowned}, {"folders", s.Folders}} {
		if len(part.list) == 0 {
			continue
		}
		list := part.list
		if limit > 0 && len(list) > limit {
			list = list[:limit]
		}
		out.printf("\n%10s  %5s  %7s  %s\n", "size", "share", "files", part.title)
		for _, e := range list {
			name := e.Name
			if part.title != "packages" {
				name = "/" + strings.TrimPrefix(name, ".")
			}
			out.printf("%10s  %4.1f%%  %7d  %s\n", progress.FormatBytes(e.Size), share(e.Size, s.Total), e.Files, strings.TrimRight(name+" "+e.Version, " "))
		}
		if more := len(part.list) - len(list); more > 0 {
			out.printf("%10s  %5s  %7s  and %d more\n", "", "", "", more)
		}
	}
	return out.err
}

func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) * 100 / float64(whole)
}

// printer keeps the first error of many writes.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}
