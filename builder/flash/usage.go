package flash

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cloudy/builder/fail"
)

// uses collects what block devices are mounted and swapped to, by their
// numbers ("8:1") and, for swap, by their paths.
func (h Host) uses() (map[string][]string, error) {
	out := map[string][]string{}
	f, err := os.Open(h.proc("self", "mountinfo"))
	if err != nil {
		return nil, fail.Mark(fail.Host, fmt.Errorf("see what is mounted: %w", err))
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() { // proc_pid_mountinfo(5)
		w := strings.Fields(lines.Text())
		if len(w) < 5 {
			continue
		}
		use := "mounted on " + unescape(w[4])
		if !slices.Contains(out[w[2]], use) {
			out[w[2]] = append(out[w[2]], use)
		}
		// Filesystems of several devices, such as btrfs, have a number of their
		// own; their source is a path.
		for i, x := range w {
			if x == "-" && i+2 < len(w) && strings.HasPrefix(w[i+2], "/dev/") {
				out[unescape(w[i+2])] = append(out[unescape(w[i+2])], use)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fail.Mark(fail.Host, fmt.Errorf("see what is mounted: %w", err))
	}
	swaps, err := os.ReadFile(h.proc("swaps"))
	if err == nil {
		for line := range strings.Lines(string(swaps)) {
			if w := strings.Fields(line); len(w) > 1 && w[1] == "partition" {
				out[unescape(w[0])] = append(out[unescape(w[0])], "used for swap")
			}
		}
	}
	return out, nil
}

// inUse says what a disk or partition is needed for: itself, or by what
// stands on it (device mapper, RAID).
func (h Host) inUse(disk, name string, uses map[string][]string) []string {
	dir := h.sys("block", disk)
	if name != disk {
		dir = filepath.Join(dir, name)
	}
	return h.usesOf(dir, name, uses, 0)
}

func (h Host) usesOf(dir, name string, uses map[string][]string, depth int) []string {
	path := filepath.Join(or(h.Dev, "/dev"), name)
	number, _ := os.ReadFile(filepath.Join(dir, "dev"))
	var out []string
	add := func(list []string) {
		for _, use := range list {
			if text := path + " is " + use; !slices.Contains(out, text) {
				out = append(out, text)
			}
		}
	}
	add(uses[strings.TrimSpace(string(number))])
	add(uses[path])
	holders, _ := os.ReadDir(filepath.Join(dir, "holders"))
	for _, holder := range holders {
		out = append(out, path+" is part of "+holder.Name())
		if depth < 8 {
			out = append(out, h.usesOf(h.sys("block", holder.Name()), holder.Name(), uses, depth+1)...)
		}
	}
	return out
}

// unescape undoes the octal escapes of /proc files (\040 is a blank).
func unescape(s string) string {
	for _, e := range []struct{ from, to string }{{`\040`, " "}, {`\011`, "\t"}, {`\012`, "\n"}, {`\134`, `\`}} {
		s = strings.ReplaceAll(s, e.from, e.to)
	}
	return s
}

// Check says why a device must not be written, or nil. Size is what the image
// needs in bytes, and 0 when nobody knows yet; anyDevice allows what is not
// removable.
func (d Device) Check(size int64, anyDevice bool) error {
	label := d.Path
	if d.Model != "" {
		label += " (" + d.Model + ")"
	}
	switch {
	case len(d.InUse) > 0:
		return fail.WithHint(fail.User, fmt.Errorf("%s is in use: %s", label, strings.Join(d.InUse, ", ")),
			"unmount it first, if it is the right one; a disk that this machine runs from cannot be written")
	case d.ReadOnly:
		return fail.WithHint(fail.User, fmt.Errorf("%s is read-only", label), "many cards and adapters have a small lock on their side")
	case d.Size == 0:
		return fail.WithHint(fail.User, fmt.Errorf("%s has no medium", label), "is the card in the reader?")
	case !d.Removable && !anyDevice:
		return fail.WithHint(fail.User, fmt.Errorf("%s is not a removable device", label), "if you are sure that nothing on it is needed, add --any-device")
	case d.Sector != 512:
		return fail.Mark(fail.User, fmt.Errorf("%s has sectors of %d bytes; images are made for sectors of 512", label, d.Sector))
	case size > d.Size:
		return fail.WithHint(fail.User, fmt.Errorf("%s has %s, and the image needs %s", label, Bytes(d.Size), Bytes(size)), "take a larger one")
	}
	return nil
}

// Bytes writes a size as it stands on cards: powers of ten.
func Bytes(n int64) string {
	switch {
	case n >= 1e12:
		return fmt.Sprintf("%.1f TB", float64(n)/1e12)
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	default:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
}
