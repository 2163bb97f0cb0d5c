package vmdk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zlib"

	"cloudy/builder/disk/sparse"
	"cloudy/builder/inorder"
)

// Options for Write.
type Options struct {
	Name string    // the file's own name, which the descriptor repeats
	ID   uuid.UUID // of the disk

	// Progress is called with the number of bytes of the source that were
	// dealt with since the last call, and with the number of all of them.
	Progress func(n, total int64)
}

// ErrTooBig is a disk that the format has no room for: its offsets have 32
// bits of sectors.
var ErrTooBig = errors.New("vmdk: the disk is too big")

const (
	batch   = 16      // grains that a worker takes at a time
	maxSize = 1 << 41 // bytes of file that 32 bits of sectors reach
)

// job is a run of grains of the source.
type job struct {
	first int64        // number of the first grain
	data  []byte       // whole grains
	out   bytes.Buffer // grains with their markers
	sizes []int        // of each in out; 0 is zeros
}

// Write writes src as an image to w, from its beginning to its end: nothing is
// read or sought back. Holes and grains of zeros take no room. The image depends
// on nothing but the bytes of src and the options.
func Write(ctx context.Context, w io.Writer, src *os.File, o Options) error {
	info, err := src.Stat()
	if err != nil {
		return fmt.Errorf("vmdk: %w", err)
	}
	size := info.Size()
	if size == 0 || size%sector != 0 {
		return fmt.Errorf("vmdk: a disk of %d bytes is not in sectors of %d", size, sector)
	}
	if size >= maxSize {
		return fmt.Errorf("%w: %d bytes, less than 2 TiB", ErrTooBig, size)
	}
	runs, err := sparse.Runs(src, grainSize)
	if err != nil {
		return fmt.Errorf("vmdk: %w", err)
	}
	total := int64(0)
	for _, r := range runs {
		total += r.Length
	}
	im := &image{w: w, capacity: size / sector, directory: make([]uint32, (size+grainSize*tableEntries-1)/(grainSize*tableEntries))}
	if err := im.begin(o); err != nil {
		return fmt.Errorf("vmdk: %w", err)
	}
	err = inorder.Work[job]{
		Worker: func() (func(*job) error, error) {
			z, err := zlib.NewWriterLevel(io.Discard, zlib.DefaultCompression)
			return func(j *job) error { return j.compress(z) }, err
		},
		Take: func(j *job) error {
			if o.Progress != nil {
				o.Progress(int64(len(j.data)), total)
			}
			return im.add(j)
		},
	}.Run(ctx, func(l *inorder.Line[job]) error {
		for piece := range sparse.Split(runs, batch*grainSize) {
			j, err := l.Next()
			if err != nil {
				return err
			}
			if j.data, err = piece.Read(src, j.data); err != nil {
				return err
			}
			j.first = piece.Offset / grainSize
			if err := l.Send(j); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = im.finish()
	}
	if err != nil {
		return fmt.Errorf("vmdk: %w", err)
	}
	return nil
}

func (j *job) compress(z *zlib.Writer) error {
	j.out.Reset()
	j.sizes = j.sizes[:0]
	for at := 0; at < len(j.data); at += grainSize {
		grain := j.data[at:][:grainSize]
		begin := j.out.Len()
		if !sparse.Zero(grain) {
			// A grain marker: the sector of the disk, the size of the data.
			var mark [12]byte
			binary.LittleEndian.PutUint64(mark[:], uint64(j.first+int64(at/grainSize))*grainSectors)
			j.out.Write(mark[:])
			z.Reset(&j.out)
			if _, err := z.Write(grain); err != nil {
				return err
			}
			if err := z.Close(); err != nil {
				return err
			}
			binary.LittleEndian.PutUint32(j.out.Bytes()[begin+8:], uint32(j.out.Len()-begin-len(mark)))
			j.out.Write(make([]byte, -j.out.Len()&(sector-1)))
		}
		j.sizes = append(j.sizes, j.out.Len()-begin)
	}
	return nil
}

// image is the file that is being written.
type image struct {
	w         io.Writer
	capacity  int64 // sectors
	pos       int64 // sectors that were written
	directory []uint32
	table     []byte // of the grains since the last table; nil when there are none
	number    int64  // of the table
}

func (im *image) put(b []byte) error {
	_, err := im.w.Write(b)
	im.pos += int64(len(b) / sector)
	return err
}

func (im *image) begin(o Options) error {
	d := descriptor(o.Name, im.capacity, o.ID)
	if len(d) > descriptorSectors*sector {
		return fmt.Errorf("the name %q is too long", o.Name)
	}
	b := append(header(uint64(im.capacity), atEnd), d...)
	return im.put(append(b, make([]byte, overhead*sector-len(b))...))
}

// add writes the grains of a job.
func (im *image) add(j *job) error {
	data := j.out.Bytes()
	for i, n := range j.sizes {
		if n == 0 {
			continue
		}
		grain := j.first + int64(i)
		if im.table != nil && im.number != grain/tableEntries {
			if err := im.flush(); err != nil {
				return err
			}
		}
		if im.table == nil {
			im.table, im.number = make([]byte, tableSize), grain/tableEntries
		}
		binary.LittleEndian.PutUint32(im.table[grain%tableEntries*4:], uint32(im.pos))
		if err := im.put(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// flush writes the table of the grains before it.
func (im *image) flush() error {
	if im.table == nil {
		return nil
	}
	im.directory[im.number] = uint32(im.pos + 1) // behind the marker
	b := append(marker(tableSize/sector, markTable), im.table...)
	im.table = nil
	return im.put(b)
}

// finish writes the directory, the footer and the mark of the end.
func (im *image) finish() error {
	if err := im.flush(); err != nil {
		return err
	}
	var d []byte
	for _, at := range im.directory {
		d = binary.LittleEndian.AppendUint32(d, at)
	}
	d = append(d, make([]byte, -len(d)&(sector-1))...)
	at := uint64(im.pos + 1)
	b := append(marker(uint64(len(d)/sector), markDirectory), d...)
	b = append(b, marker(1, markFooter)...)
	b = append(b, header(uint64(im.capacity), at)...)
	return im.put(append(b, marker(0, markEnd)...))
}
