// Package sdcard makes SD cards for single-board computers. What a board
// wants is data (Board): a partition table, a FAT partition with files of the
// root and texts, blobs of the root at places where the boot ROM looks for
// them, settings in the root itself. The root is ext4 and the last partition,
// so that it can grow.
package sdcard

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"cloudy/builder/fail"
	"cloudy/targets"
	"cloudy/targets/machine"
)

// Options are the target's options.
type Options struct {
	Board     Board
	Formats   []string // raw, raw.zst, raw.xz, raw.gz; empty is raw.zst
	DiskSize  int64    // bytes, whole MiB; 0 is what the content needs and some headroom
	Grow      bool     // the root grows over the whole card at first boot
	GrowLimit int64    // bytes of the root partition, 0 for no limit
}

// The partition tables.
const (
	MBR = "mbr"
	GPT = "gpt"
)

// Board is what a board wants. Texts may hold words such as "@boot.root@";
// Words lists them.
type Board struct {
	Name       string
	Scheme     string // MBR or GPT
	Start      int64  // bytes: where the first partition begins, whole MiB
	Arguments  []string
	Consoles   []string
	Extlinux   bool   // U-Boot's configuration goes into the root
	DeviceTree string // below the kernel's folder; empty: U-Boot chooses

	FATSize  int64 // bytes, whole MiB
	FATLabel string
	FATMount string // absolute
	Copies   []Copy
	FATFiles []File

	Blobs []Blob
	Files []File // in the root
}

// Copy is files of the root that go onto the FAT partition.
type Copy struct {
	Name     string
	From     []string // absolute paths with "*"
	To       string   // folder
	Optional bool     // nothing need match
}

// File is a text at a path.
type File struct{ Path, Content string }

// Blob is a file of the root that goes to an offset of the card, in bytes.
type Blob struct {
	Name, From string
	Offset     int64
}

// Target is the sdcard target.
type Target struct{}

var _ targets.Target = Target{}

// Name is "sdcard".
func (Target) Name() string { return "sdcard" }

// options fills in the defaults and checks.
func (Target) options(arch string, v any) (Options, error) {
	o, err := targets.OptionsOf[Options]("sdcard", v)
	if err != nil {
		return o, err
	}
	var errs []error
	if _, ok := rootTypes()[arch]; !ok {
		errs = append(errs, fmt.Errorf("sdcard: no card for architecture %q", arch))
	}
	o.Formats, err = targets.Formats("sdcard", o.Formats, []string{"raw", "raw.zst", "raw.xz", "raw.gz"}, "raw.zst")
	errs = append(errs, err)
	b := &o.Board
	if b.Scheme != MBR && b.Scheme != GPT {
		errs = append(errs, fmt.Errorf("sdcard: board %q has partition scheme %q (mbr, gpt)", b.Name, b.Scheme))
	}
	for what, n := range map[string]int64{"card": o.DiskSize, "start of the first partition": b.Start, "FAT partition": b.FATSize} {
		if n < 0 || n%mib != 0 || n == 0 && what != "card" {
			errs = append(errs, fmt.Errorf("sdcard: %s of %d bytes is not in whole MiB", what, n))
		}
	}
	if !strings.HasPrefix(b.FATMount, "/") || b.FATMount == "/" {
		errs = append(errs, fmt.Errorf("sdcard: FAT partition mounted at %q", b.FATMount))
	}
	return o, fail.Mark(fail.User, errors.Join(errs...))
}

// Validate implements targets.Target.
func (t Target) Validate(arch string, options any) error {
	_, err := t.options(arch, options)
	return err
}

// Build implements targets.Target. What the root lacks of what the board
// wants, and a card that is too small, are the user's errors.
func (t Target) Build(ctx context.Context, r targets.Request) ([]targets.Artefact, error) {
	o, err := t.options(r.Arch, r.Options)
	if err != nil {
		return nil, err
	}
	c := &card{Request: &r, o: o, b: &o.Board}
	if err := c.prepare(ctx); err != nil {
		return nil, fmt.Errorf("SD card of %s for %s: %w", r.Image, o.Board.Name, err)
	}
	list, err := machine.Image{Base: filepath.Join(r.OutDir, r.BaseName), Size: c.size, Write: c.disk}.Build(ctx, machine.FlashFormats(r.BaseName, o.Formats))
	if err != nil {
		return nil, fmt.Errorf("SD card of %s for %s: %w", r.Image, o.Board.Name, err)
	}
	return list, nil
}
