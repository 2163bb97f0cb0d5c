package flash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"golang.org/x/sync/errgroup"

	"cloudy/builder/disk/sparse"
	"cloudy/builder/fail"
	"cloudy/builder/progress"
)

const (
	// chunkSize is how much is written at once, in bytes: the erase blocks of
	// cards are up to that.
	chunkSize = 4 << 20
	// headSize is the beginning that is written last: the partition table and
	// what boots. A medium that was not finished boots nothing.
	headSize = 1 << 20
	// zeroBlock is the step in which zeros are looked for.
	zeroBlock = 64 << 10
	sector    = 512
)

// Options say how to write.
type Options struct {
	NoVerify bool
	AnyImage bool   // write what holds neither a partition table nor a filesystem, too
	Seed     []byte // for SeedFile on the boot partition; nil leaves it alone
}

// Result tells what was done, in bytes.
type Result struct {
	Written int64 // written to the medium
	Left    int64 // of the image, and not written: it did not matter or was there
}

// MediumError is a medium that failed.
type MediumError struct {
	Op     string // write, read back, compare
	Offset int64  // bytes from the beginning of the medium
	Err    error
}

func (e *MediumError) Error() string {
	return fmt.Sprintf("%s at byte %d (%s): %v", e.Op, e.Offset, Bytes(e.Offset), e.Err)
}

// Unwrap returns the kernel's error.
func (e *MediumError) Unwrap() error { return e.Err }

// ErrDiffers means that a medium does not hold what was written to it.
var ErrDiffers = errors.New("the medium does not hold what was written to it")

func mediumErr(op string, off int64, err error) error {
	hint := "it holds no image now; try it again, then another card, stick or reader"
	if errors.Is(err, ErrDiffers) {
		hint = "it is worn out, or smaller than it says, as forged cards are; take another one"
	}
	return fail.WithHint(fail.Host, &MediumError{op, off, err}, hint)
}

// Write writes an image to a medium, reads it back, and fits the partition
// table to the medium's size. Until all of it is there and verified the first
// MiB, with the partition table, is zeros.
func Write(ctx context.Context, im *Image, m Medium, o Options) (Result, error) {
	if im.Size > m.Size() {
		return Result{}, fail.Mark(fail.User, fmt.Errorf("the image needs %s, and the medium has %s", Bytes(im.Size), Bytes(m.Size())))
	}
	f := &flasher{im: im, m: m, o: o, head: make([]byte, min(headSize, roundUp(im.Size)))}
	if err := f.prepare(ctx); err != nil {
		return f.Result, err
	}
	if err := f.erase(); err != nil {
		return f.Result, err
	}
	if err := f.body(ctx); err != nil {
		return f.Result, err
	}
	if err := m.Sync(); err != nil {
		return f.Result, mediumErr("write", 0, err)
	}
	if err := f.verify(ctx); err != nil {
		return f.Result, err
	}
	return f.Result, f.finish(ctx)
}

func roundUp(n int64) int64 { return (n + sector - 1) / sector * sector }

type flasher struct {
	Result
	im   *Image
	m    Medium
	o    Options
	head []byte
	done []written
}

// written is a part of the medium and the hash of what it must hold.
type written struct {
	sparse.Extent
	sum [sha256.Size]byte
}

// prepare reads the head of the image and finds out, before anything is
// written, whether the seed has a place.
func (f *flasher) prepare(ctx context.Context) error {
	r, err := f.im.Reader(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.ReadFull(r, f.head[:min(int64(len(f.head)), f.im.Size)]); err != nil {
		return fail.Mark(fail.User, fmt.Errorf("read %s: %w", f.im.Path, err))
	}
	if f.o.Seed == nil {
		return f.sensible()
	}
	if list, err := fatPartitions(f.head, f.im.Size); err != nil || len(list) == 0 {
		return fail.WithHint(fail.User, errors.Join(fmt.Errorf("%s has no FAT partition for %s", f.im.Path, SeedFile), err),
			"without --invite, --hostname and --ssh-key it can be written all the same")
	}
	return nil
}

// sensible refuses to erase a medium for a file that nothing could make use
// of there: a list of checksums beside the image, or half of an archive.
func (f *flasher) sensible() error {
	has := func(at int, s string) bool { return len(f.head) >= at+len(s) && string(f.head[at:at+len(s)]) == s }
	switch {
	case f.o.AnyImage,
		has(510, "\x55\xaa"),   // an MBR, which stands before a GPT as well, or FAT
		has(512, "EFI PART"),   // a GPT alone
		has(0x438, "\x53\xef"), // ext2, 3, 4
		has(0x8001, "CD001"):   // ISO 9660
		return nil
	}
	return fail.WithHint(fail.User, fmt.Errorf("%s holds no disk: it has neither a partition table nor a filesystem that is known", f.im.Path),
		"--any-image writes it all the same")
}

// erase clears both ends of the medium, where partition tables are.
func (f *flasher) erase() error {
	for _, at := range []int64{0, (f.m.Size() - headSize) / sector * sector} {
		at = max(at, 0)
		b := Buffer(int(min(headSize, (f.m.Size()-at)/sector*sector)))
		if err := f.m.BulkWrite(b, at); err != nil {
			return mediumErr("write", at, err)
		}
	}
	return nil
}

// chunk is a piece of the image on its way.
type chunk struct {
	data []byte
	at   int64
}

// body writes all but the head. Reading, which may mean decompressing, goes
// on meanwhile.
func (f *flasher) body(ctx context.Context) error {
	pieces := f.im.ranges()
	total := int64(0)
	for _, p := range pieces {
		total += p.Length
	}
	f.Left = f.im.Size - total
	step := progress.Begin(ctx, "write", total, progress.Bytes)
	g, ctx := errgroup.WithContext(ctx)
	full, free := make(chan chunk), make(chan []byte, 3)
	for range cap(free) {
		free <- Buffer(chunkSize)
	}
	g.Go(func() error {
		defer close(full)
		return f.read(ctx, pieces, full, free)
	})
	g.Go(func() error {
		for c := range full {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := f.put(c); err != nil {
				return err
			}
			step.Add(int64(len(c.data)))
			free <- c.data[:cap(c.data)]
		}
		return nil
	})
	return step.End(g.Wait())
}

// read sends the pieces chunk by chunk, and compares them with the map.
func (f *flasher) read(ctx context.Context, pieces []piece, full chan<- chunk, free <-chan []byte) error {
	r, err := f.im.Reader(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	damaged := func(err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fail.WithHint(fail.User, fmt.Errorf("read %s: %w", f.im.Path, err), "the image is damaged or not whole; get it again")
	}
	pos := int64(0)
	for _, p := range pieces {
		if _, err := io.CopyN(io.Discard, r, p.Offset-pos); err != nil {
			return damaged(err)
		}
		var sum hash.Hash
		if p.sum != "" {
			sum = sha256.New()
		}
		for pos = p.Offset; pos < p.End(); {
			var buf []byte
			select {
			case buf = <-free:
			case <-ctx.Done():
				return ctx.Err()
			}
			// Chunks end where chunks of the medium do.
			n := min(p.End()-pos, chunkSize-pos%chunkSize)
			if _, err := io.ReadFull(r, buf[:n]); err != nil {
				return damaged(err)
			}
			if sum != nil {
				sum.Write(buf[:n])
			}
			clear(buf[n:roundUp(n)])
			select {
			case full <- chunk{buf[:roundUp(n)], pos}:
			case <-ctx.Done():
				return ctx.Err()
			}
			pos += n
		}
		if sum != nil && hex.EncodeToString(sum.Sum(nil)) != p.sum {
			return damaged(fmt.Errorf("bytes %d to %d are not what the block map says", p.Offset, p.End()))
		}
	}
	if f.im.Map == nil {
		return nil
	}
	rest, err := io.Copy(io.Discard, r)
	if err == nil && pos+rest != f.im.Size {
		err = fmt.Errorf("%d bytes, and the block map says %d", pos+rest, f.im.Size)
	}
	if err != nil {
		return damaged(err)
	}
	return nil
}

// put writes a chunk. What belongs to the head waits.
func (f *flasher) put(c chunk) error {
	data, at := c.data, c.at
	if at < int64(len(f.head)) {
		n := min(int64(len(data)), int64(len(f.head))-at)
		copy(f.head[at:], data[:n])
		if data, at = data[n:], at+n; len(data) == 0 {
			return nil
		}
	}
	f.done = append(f.done, written{sparse.Extent{Offset: at, Length: int64(len(data))}, sha256.Sum256(data)})
	if f.im.Map != nil {
		return f.write(data, at)
	}
	// Zeros count, but reading is faster than writing, and an empty medium
	// has them already.
	for len(data) > 0 {
		n := min(zeroBlock, len(data))
		zero := sparse.Zero(data[:n])
		for n < len(data) && sparse.Zero(data[n:min(n+zeroBlock, len(data))]) == zero {
			n = min(n+zeroBlock, len(data))
		}
		if zero {
			have := Buffer(n)
			if err := f.m.BulkRead(have, at); err == nil && bytes.Equal(have, data[:n]) {
				f.Left += int64(n)
				data, at = data[n:], at+int64(n)
				continue
			}
		}
		if err := f.write(data[:n], at); err != nil {
			return err
		}
		data, at = data[n:], at+int64(n)
	}
	return nil
}

// write writes whole sectors. The buffer of a chunk is aligned; a part of it
// that is not goes through another one.
func (f *flasher) write(b []byte, at int64) error {
	if !aligned(b) {
		b = append(Buffer(len(b))[:0], b...)
	}
	if err := f.m.BulkWrite(b, at); err != nil {
		return mediumErr("write", at, err)
	}
	f.Written += int64(len(b))
	return nil
}

// verify reads back what was written.
func (f *flasher) verify(ctx context.Context) error {
	if f.o.NoVerify {
		return nil
	}
	total := int64(0)
	for _, w := range f.done {
		total += w.Length
	}
	step := progress.Begin(ctx, "verify", total, progress.Bytes)
	buf := Buffer(chunkSize)
	for _, w := range f.done {
		if err := ctx.Err(); err != nil {
			return step.End(err)
		}
		b := buf[:w.Length]
		if err := f.m.BulkRead(b, w.Offset); err != nil {
			return step.End(mediumErr("read back", w.Offset, err))
		}
		if sha256.Sum256(b) != w.sum {
			return step.End(mediumErr("read back", w.Offset, ErrDiffers))
		}
		step.Add(w.Length)
	}
	return step.End(nil)
}
