// Package seed finds what an owner left for the node: an invitation, and what
// the system shall be called and who may log in. It owns the format of the
// file on the boot partition, see Card.
package seed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/membership"
)

// Seed is an invitation and where it came from.
type Seed struct {
	Token  string `json:"token"`
	Origin string `json:"origin"`         // for people
	File   string `json:"file,omitempty"` // to be wiped after use, or ""
}

// FileName is the file on the boot partition, which every PC can write.
const FileName = "cloudy.txt"

// Where a seed came from, for people.
const (
	OriginTyped      = "typed in"
	OriginCredential = "system credential"
	OriginKernel     = "kernel command line"
	OriginCard       = FileName + " on the boot partition"
	OriginDrive      = "NoCloud drive"
	OriginImage      = "built into the image"
)

// bootFolders are where the FAT partition is mounted: Raspberry Pi OS and
// Debian's Pi images, the ESP, and older boards.
var bootFolders = []string{"boot/firmware", "boot/efi", "boot"}

// maxCard bounds the file on the boot partition in bytes.
const maxCard = 64 << 10

// importedFile is, in the state folder, what only root can read: the daemon
// is not root.
const importedFile = "seeds.json"

// Sources is where to look.
type Sources struct {
	Root   string            // "/" on a node
	State  string            // inside Root: the agent's state folder
	Baked  string            // the invitation in the image, or ""
	Drives map[string]string // NoCloud drives and their filesystems' type; nil: those of this machine, when Root is "/"
}

// typed is the invitation that somebody gave the running node.
func (s Sources) typed() string { return filepath.Join(s.Root, s.State, "invitation") }

func (s Sources) imported() string { return filepath.Join(s.Root, s.State, importedFile) }

// Type keeps an invitation that somebody gave the running node.
func (s Sources) Type(token string) error {
	return durable.WriteFile(s.typed(), []byte(token+"\n"), 0o600)
}

// cards returns the boot partition's files with their content.
func (s Sources) cards() (paths []string, contents [][]byte) {
	for _, dir := range bootFolders {
		path := filepath.Join(s.Root, dir, FileName)
		if data, ok := readSmall(path); ok {
			paths, contents = append(paths, path), append(contents, data)
		}
	}
	return paths, contents
}

func readSmall(path string) ([]byte, bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxCard {
		return nil, false
	}
	data, err := os.ReadFile(path)
	return data, err == nil
}

// Find returns all invitations, the one that counts most first: typed in,
// systemd's credential cloudy.invitation, cloudy.invite= on the kernel's
// command line, cloudy.txt on the boot partition, the NoCloud drive, baked
// into the image.
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
	if data, ok := readSmall(s.typed()); ok {
		add(string(data), OriginTyped, s.typed())
	}
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		if data, ok := readSmall(filepath.Join(dir, "cloudy.invitation")); ok {
			add(string(data), OriginCredential, "")
		}
	}
	if line, err := os.ReadFile(filepath.Join(s.Root, "proc/cmdline")); err == nil {
		for _, word := range strings.Fields(string(line)) {
			if v, ok := strings.CutPrefix(word, "cloudy.invite="); ok {
				add(v, OriginKernel, "")
			}
		}
	}
	paths, contents := s.cards()
	for i, path := range paths {
		add(string(contents[i]), OriginCard, path)
	}
	var imported []Seed
	if err := durable.ReadJSON(s.imported(), &imported); err == nil {
		for _, x := range imported {
			add(x.Token, x.Origin, x.File)
		}
	}
	add(s.Baked, OriginImage, "")
	return out
}

// Import is root's part: it reads the boot partition and the drives, keeps
// their invitations for the daemon and returns what else they give, the one
// that counts most first. What is wrong with them is told and hinders
// nothing.
func (s Sources) Import() ([]Provision, []error) {
	var out []Provision
	var seeds []Seed
	var errs []error
	paths, contents := s.cards()
	for i, path := range paths {
		c, bad := ParseCard(contents[i])
		for _, err := range bad {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
		out = append(out, Provision{HostName: c.HostName, SSHKeys: c.SSHKeys, Origin: OriginCard})
		if c.Invitation != "" {
			seeds = append(seeds, Seed{c.Invitation, OriginCard, path})
		}
	}
	devices, kinds := s.drives()
	for _, dev := range devices {
		user, meta, err := readDrive(dev, kinds[dev], filepath.Join(s.Root, "run/cloudy-identity"))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p, token, bad := parseNoCloud(user, meta)
		for _, err := range bad {
			errs = append(errs, fmt.Errorf("%s on %s: %w", OriginDrive, dev, err))
		}
		out = append(out, p)
		if token != "" {
			seeds = append(seeds, Seed{token, OriginDrive, ""})
		}
	}
	if len(seeds) == 0 {
		if err := durable.Remove(s.imported()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	} else if err := durable.WriteJSON(s.imported(), seeds); err != nil {
		errs = append(errs, err)
	}
	return out, errs
}

// Forget drops the invitations that Import kept.
func (s Sources) Forget() error { return durable.Remove(s.imported()) }

// Own says whether the seed lies in the agent's own folder.
func (s Sources) Own(x Seed) bool { return x.File == s.typed() }

// Found returns the name of the mesh that the node is to found, as the
// systemd credential cloudy.found or cloudy.found= on the kernel's command
// line says; or "".
func (s Sources) Found() string {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		if data, err := os.ReadFile(filepath.Join(dir, "cloudy.found")); err == nil {
			return strings.TrimSpace(string(data))
		}
	}
	if line, err := os.ReadFile(filepath.Join(s.Root, "proc/cmdline")); err == nil {
		for _, word := range strings.Fields(string(line)) {
			if v, ok := strings.CutPrefix(word, "cloudy.found="); ok {
				return v
			}
		}
	}
	return ""
}
