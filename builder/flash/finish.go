package flash

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unsafe"

	"cloudy/builder/disk/fat"
	"cloudy/builder/disk/gpt"
	"cloudy/builder/disk/sparse"
	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/firstboot/seed"
)

// SeedFile is the file on the boot partition in which a node finds what is
// its own: an invitation, a name, keys.
const SeedFile = seed.FileName

func aligned(b []byte) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))%bufferAlign == 0
}

// view is the medium as it will be: the head from memory, the rest from the
// medium.
func (f *flasher) view() *view { return &view{f.head, f.m} }

type view struct {
	head []byte
	m    Medium
}

// ReadAt implements io.ReaderAt.
func (v *view) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(v.head)) {
		if n = copy(p, v.head[off:]); n == len(p) {
			return n, nil
		}
	}
	k, err := v.m.ReadAt(p[n:], off+int64(n))
	return n + k, err
}

// WriteAt implements io.WriterAt.
func (v *view) WriteAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(v.head)) {
		if n = copy(v.head[off:], p); n == len(p) {
			return n, nil
		}
	}
	k, err := v.m.WriteAt(p[n:], off+int64(n))
	return n + k, err
}

// finish puts the seed in its place, fits the partition table to the medium,
// and writes the head.
func (f *flasher) finish(ctx context.Context) error {
	step := progress.Begin(ctx, "finish", 0, progress.Bytes)
	return step.End(f.complete())
}

func (f *flasher) complete() error {
	v := f.view()
	if f.o.Seed != nil {
		if err := f.seed(v); err != nil {
			return err
		}
	}
	if !isISO(v) {
		if _, err := gpt.Move(v, f.im.Size, f.m.Size()/sector*sector); err != nil && !errors.Is(err, gpt.ErrInvalid) {
			return mediumErr("write", 0, err)
		}
	}
	// All that went through the page cache, before the head makes it count.
	if err := f.m.Sync(); err != nil {
		return mediumErr("write", 0, err)
	}
	b := append(Buffer(len(f.head))[:0], f.head...)
	if err := f.write(b, 0); err != nil {
		return err
	}
	if err := f.m.Sync(); err != nil {
		return mediumErr("write", 0, err)
	}
	if !f.o.NoVerify {
		back := Buffer(len(b))
		if err := f.m.BulkRead(back, 0); err != nil {
			return mediumErr("read back", 0, err)
		}
		if !bytes.Equal(back, b) {
			return mediumErr("read back", 0, ErrDiffers)
		}
	}
	// The image is on the medium; a kernel that does not see its partitions yet
	// will when it is plugged in again.
	_ = f.m.Done()
	return nil
}

// isISO tells a hybrid ISO, whose tables describe the medium as it was mastered.
func isISO(r io.ReaderAt) bool {
	b := make([]byte, 5)
	_, err := r.ReadAt(b, 32769)
	return err == nil && string(b) == "CD001"
}

// seed writes the seed file, and reads it back.
func (f *flasher) seed(v *view) error {
	list, err := fatPartitions(f.head, f.im.Size)
	if err != nil {
		return err
	}
	for _, p := range list {
		vol := &volume{v, p.Offset}
		if _, err := fat.Open(vol); err != nil {
			continue
		}
		if err := fat.Put(vol, SeedFile, f.o.Seed, time.Now()); err != nil {
			return fail.Mark(fail.Host, fmt.Errorf("write %s to the boot partition: %w", SeedFile, err))
		}
		return checkSeed(vol, f.o.Seed)
	}
	return fail.Mark(fail.User, fmt.Errorf("%s has no FAT filesystem for %s", f.im.Path, SeedFile))
}

func checkSeed(vol *volume, want []byte) error {
	fs, err := fat.Open(vol)
	if err != nil {
		return mediumErr("read back", vol.at, err)
	}
	entries, err := fs.Entries()
	if err != nil {
		return mediumErr("read back", vol.at, err)
	}
	for _, e := range entries {
		if e.Path != SeedFile {
			continue
		}
		r, err := fs.Open(e)
		if err != nil {
			return mediumErr("read back", vol.at, err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			return mediumErr("read back", vol.at, errors.Join(ErrDiffers, err))
		}
		return nil
	}
	return mediumErr("read back", vol.at, ErrDiffers)
}

// volume is a partition.
type volume struct {
	v  *view
	at int64
}

// ReadAt implements io.ReaderAt.
func (p *volume) ReadAt(b []byte, off int64) (int, error) { return p.v.ReadAt(b, p.at+off) }

// WriteAt implements io.WriterAt.
func (p *volume) WriteAt(b []byte, off int64) (int, error) { return p.v.WriteAt(b, p.at+off) }

// fatPartitions lists the partitions that may hold FAT, by their type in the
// table at the beginning of a disk.
func fatPartitions(head []byte, size int64) ([]sparse.Extent, error) {
	var out []sparse.Extent
	r := bytes.NewReader(head)
	if t, err := gpt.Read(r, size); err == nil {
		const basicData = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"
		for _, p := range t.Partitions {
			if id := strings.ToUpper(p.Type.String()); id == gpt.ESP || id == basicData {
				out = append(out, sparse.Extent{Offset: p.Start, Length: p.Size})
			}
		}
		return out, nil
	}
	if len(head) < sector || head[510] != 0x55 || head[511] != 0xaa {
		return nil, errors.New("no partition table")
	}
	for i := range 4 {
		e := head[446+16*i:][:16]
		switch e[4] {
		case 0x06, 0x0b, 0x0c, 0x0e, 0xef: // FAT16, FAT32 and ESP
			start, n := binary.LittleEndian.Uint32(e[8:]), binary.LittleEndian.Uint32(e[12:])
			out = append(out, sparse.Extent{Offset: int64(start) * sector, Length: int64(n) * sector})
		}
	}
	return out, nil
}
