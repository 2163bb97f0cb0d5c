// Package seed finds the invitation that an owner left for the node.
package seed

import (
	"os"
	"path/filepath"
	"strings"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/membership"
)

// Seed is an invitation and where it came from.
type Seed struct {
	Token  string
	Origin string // for people
	file   string // to be wiped after use, or ""
}

// FileName is the file on the boot partition, which every PC can write.
const FileName = "cloudy.txt"

// bootFolders are where the FAT partition is mounted: Raspberry Pi OS and
// Debian's Pi images, the ESP, and older boards.
var bootFolders = []string{"boot/firmware", "boot/efi", "boot"}

// Sources is where to look.
type Sources struct {
	Root  string // "/" on a node
	State string // inside Root: the agent's state folder
	Baked string // the invitation in the image, or ""
}

// typed is the invitation that somebody gave the running node.
func (s Sources) typed() string { return filepath.Join(s.Root, s.State, "invitation") }

// Type keeps an invitation that somebody gave the running node.
func (s Sources) Type(token string) error {
	return durable.WriteFile(s.typed(), []byte(token+"\n"), 0o600)
}

// Find returns all invitations, the one that counts most first: typed in,
// systemd's credential cloudy.invitation, cloudy.invite= on the kernel's
// command line, cloudy.txt on the boot partition, baked into the image.
func (s Sources) Find() []Seed {
	var out []Seed
	add := func(text, origin, file string) {
		token := membership.FindToken(text)
		if token == "" {
			return
		}
		for _, x := range out {
			if x.Token == token {
				return
			}
		}
		out = append(out, Seed{token, origin, file})
	}
	file := func(path, origin string, wipe bool) {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Size() > 64<<10 {
			return
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return
		}
		if !wipe {
			path = ""
		}
		add(string(data), origin, path)
	}
	file(s.typed(), "typed in", true)
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		file(filepath.Join(dir, "cloudy.invitation"), "system credential", false)
	}
	if line, err := os.ReadFile(filepath.Join(s.Root, "proc/cmdline")); err == nil {
		for _, word := range strings.Fields(string(line)) {
			if v, ok := strings.CutPrefix(word, "cloudy.invite="); ok {
				add(v, "kernel command line", "")
			}
		}
	}
	for _, dir := range bootFolders {
		file(filepath.Join(s.Root, dir, FileName), FileName+" on the boot partition", true)
	}
	add(s.Baked, "built into the image", "")
	return out
}

// Used wipes the seed where it lies on a disk: it is a secret, and spent.
func (s Sources) Used(x Seed) error {
	if x.file == "" {
		return nil
	}
	if x.file == s.typed() {
		return durable.Remove(x.file)
	}
	// The owner finds a word instead of an empty file. FAT has no modes.
	return durable.WriteFile(x.file, []byte("This node has joined its mesh; the invitation was used and removed.\r\n"), 0o644)
}
