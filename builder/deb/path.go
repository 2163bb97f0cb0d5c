package deb

import (
	"fmt"
	"strings"
)

// CleanPath returns the name of a tar entry of a .deb as a relative path
// without "./", double or trailing slashes; the root itself is ".". Names that
// could leave the root or break dpkg's database are errors: empty or absolute
// names, "..", NUL and newline (dpkg refuses that too: its lists of files have
// one name a line).
//
// A clean name is not enough to write safely: a symbolic link of the same
// archive may stand in its way, so open it through os.Root.
func CleanPath(name string) (string, error) {
	if name == "" {
		return "", fmt.Errorf("unsafe path: empty name")
	}
	if name[0] == '/' {
		return "", fmt.Errorf("unsafe path %q: absolute", name)
	}
	if i := strings.IndexAny(name, "\x00\n"); i >= 0 {
		return "", fmt.Errorf("unsafe path %q: character %q", name, name[i])
	}
	clean := true // most names are once "./" is off
	name = strings.TrimPrefix(name, "./")
	for rest := name; clean; {
		part, after, more := strings.Cut(rest, "/")
		if part == "" || part == "." || part == ".." {
			clean = false
		}
		if !more {
			break
		}
		rest = after
	}
	if clean {
		return name, nil
	}
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "", ".":
		case "..":
			return "", fmt.Errorf("unsafe path %q: leaves its folder by \"..\"", name)
		default:
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return ".", nil
	}
	return strings.Join(parts, "/"), nil
}
