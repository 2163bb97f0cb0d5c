package archive

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cloudy/builder/deb"
)

// readAptSources returns the URLs of the host's enabled binary sources in
// apt's order (sources.list, then sources.list.d by name), without
// duplicates. What cannot be read or parsed is left out: the host's apt is
// not ours to judge.
func readAptSources(dir string) []Mirror {
	var files []string
	for _, pattern := range []string{"sources.list.d/*.list", "sources.list.d/*.sources"} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern))
		files = append(files, found...)
	}
	slices.Sort(files)
	files = append([]string{filepath.Join(dir, "sources.list")}, files...)
	var list []Mirror
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		uris := parseOneLine(data)
		if strings.HasSuffix(file, ".sources") {
			uris = parseSources(data)
		}
		for _, uri := range uris {
			u, err := cleanURL(uri)
			if err != nil { // cdrom:, mirror+file: and others that only apt knows
				continue
			}
			m := Mirror{u, file}
			if !slices.ContainsFunc(list, func(o Mirror) bool { return o.URL == u }) {
				list = append(list, m)
			}
		}
	}
	return list
}

// parseOneLine reads the format "deb [options] uri suite component…".
func parseOneLine(data []byte) []string {
	var uris []string
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb")
		if !ok || rest == "" || (rest[0] != ' ' && rest[0] != '\t') {
			continue // deb-src, or no entry at all
		}
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			_, after, ok := strings.Cut(rest, "]")
			if !ok {
				continue
			}
			rest = after
		}
		if f := strings.Fields(rest); len(f) >= 2 {
			uris = append(uris, f[0])
		}
	}
	return uris
}

// parseSources reads the deb822 format.
func parseSources(data []byte) []string {
	var uris []string
	pr := deb.NewParagraphReader(bytes.NewReader(data))
	for {
		p, err := pr.Next()
		if err != nil {
			return uris
		}
		// As apt reads truth values: what is not a no is a yes.
		switch strings.ToLower(p.Get("Enabled")) {
		case "no", "false", "without", "off", "disable", "0":
			continue
		}
		if slices.Contains(strings.Fields(p.Get("Types")), "deb") {
			uris = append(uris, strings.Fields(p.Get("URIs"))...)
		}
	}
}
