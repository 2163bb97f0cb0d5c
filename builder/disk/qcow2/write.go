package qcow2

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"

	"cloudy/builder/disk/sparse"
	"cloudy/builder/inorder"
)

// Options for Write. The zero value compresses with zstd.
type Options struct {
	Compression Compression

	// Progress is called with the number of bytes of the source that were
	// dealt with since the last call, and with the number of all of them.
	Progress func(n, total int64)
}

// batch is how many clusters a worker takes at a time.
const batch = 16

// job is a run of clusters of the source.
type job struct {
	first int64  // number of the first cluster
	data  []byte // whole clusters
	out   []byte // what goes into the image
	sizes []int  // of each cluster in out: 0 is zeros, clusterSize is stored as it is
}

// Write writes src as a qcow2 image to w, which it expects to be empty. Holes
// and clusters of zeros take no room. The image depends on nothing but the
// bytes of src and the options.
func Write(ctx context.Context, w io.WriterAt, src *os.File, o Options) error {
	if o.Compression == "" {
		o.Compression = Zstd
	}
	info, err := src.Stat()
	if err != nil {
		return fmt.Errorf("qcow2: %w", err)
	}
	if info.Size() == 0 || info.Size()%512 != 0 {
		return fmt.Errorf("qcow2: a disk of %d bytes is not in sectors of 512", info.Size())
	}
	runs, err := sparse.Runs(src, clusterSize)
	if err != nil {
		return fmt.Errorf("qcow2: %w", err)
	}
	total := int64(0)
	for _, run := range runs {
		total += run.Length
	}
	im := newImage(w, info.Size(), o.Compression)
	err = inorder.Work[job]{
		Worker: func() (func(*job) error, error) {
			enc, err := newEncoder(o.Compression)
			return func(j *job) error { return j.compress(enc) }, err
		},
		Take: func(j *job) error {
			if o.Progress != nil {
				o.Progress(int64(len(j.data)), total)
			}
			return im.add(j)
		},
	}.Run(ctx, func(l *inorder.Line[job]) error {
		for piece := range sparse.Split(runs, batch*clusterSize) {
			j, err := l.Next()
			if err != nil {
				return err
			}
			if j.data, err = piece.Read(src, j.data); err != nil {
				return err
			}
			j.first = piece.Offset >> clusterBits
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
		return fmt.Errorf("qcow2: %w", err)
	}
	return nil
}

func (j *job) compress(enc encoder) error {
	j.out, j.sizes = slices.Grow(j.out[:0], len(j.data)), j.sizes[:0]
	for at := 0; at < len(j.data); at += clusterSize {
		cluster := j.data[at:][:clusterSize]
		if sparse.Zero(cluster) {
			j.sizes = append(j.sizes, 0)
			continue
		}
		begin := len(j.out)
		if enc != nil {
			var err error
			if j.out, err = enc.encode(j.out, cluster); err != nil {
				return err
			}
		}
		// A cluster that saves less than a sector is not worth decompressing.
		if n := len(j.out) - begin; enc == nil || n > clusterSize-compressedUnit {
			j.out = append(j.out[:begin], cluster...)
		}
		j.sizes = append(j.sizes, len(j.out)-begin)
	}
	return nil
}

// image is the file that is being written: clusters first, then the tables
// that find them, the header last.
type image struct {
	w     io.WriterAt
	size  int64
	comp  Compression
	pos   int64 // end of what was written
	l2    map[int64][]byte
	refs  []uint16 // of each cluster of the file
	first [clusterSize]byte
}

func newImage(w io.WriterAt, size int64, c Compression) *image {
	im := &image{w: w, size: size, comp: c, pos: clusterSize, l2: map[int64][]byte{}}
	im.use(0, clusterSize)
	return im
}

// use counts a reference to all clusters that n bytes at off touch.
func (im *image) use(off, n int64) {
	for c := off >> clusterBits; c <= (off+n-1)>>clusterBits; c++ {
		for int64(len(im.refs)) <= c {
			im.refs = append(im.refs, 0)
		}
		im.refs[c]++
	}
}

func (im *image) pad(to int64) { im.pos = (im.pos + to - 1) / to * to }

// add writes the clusters of a job.
func (im *image) add(j *job) error {
	data := j.out
	var run []byte // bytes that follow each other in the file too
	start := im.pos
	flush := func() error {
		if len(run) == 0 {
			return nil
		}
		_, err := im.w.WriteAt(run, start)
		run = nil
		return err
	}
	for i, n := range j.sizes {
		if n == 0 {
			continue
		}
		if n == clusterSize && im.pos%clusterSize != 0 {
			if err := flush(); err != nil {
				return err
			}
			im.pad(clusterSize)
		}
		if len(run) == 0 {
			start, run = im.pos, data[:0]
		}
		entry := uint64(im.pos) | entryCopied
		used := int64(n)
		if n != clusterSize {
			last := (im.pos + int64(n) - 1) / compressedUnit
			entry = uint64(im.pos) | entryCompressed | uint64(last-im.pos/compressedUnit)<<compressedShift
			// QEMU counts whole sectors.
			used = (last+1)*compressedUnit - im.pos
		}
		im.set(j.first+int64(i), entry)
		im.use(im.pos, used)
		run = run[:len(run)+n]
		data = data[n:]
		im.pos += int64(n)
	}
	return flush()
}

func (im *image) set(cluster int64, entry uint64) {
	table := im.l2[cluster/l2Entries]
	if table == nil {
		table = make([]byte, clusterSize)
		im.l2[cluster/l2Entries] = table
	}
	binary.BigEndian.PutUint64(table[cluster%l2Entries*8:], entry)
}

// finish writes the tables and the header.
func (im *image) finish() error {
	be := binary.BigEndian
	im.pad(clusterSize)
	l1Size := (im.size + clusterSize*l2Entries - 1) / (clusterSize * l2Entries)
	l1 := make([]byte, (l1Size*8+clusterSize-1)>>clusterBits<<clusterBits)
	for i := range l1Size {
		if table := im.l2[i]; table != nil {
			be.PutUint64(l1[i*8:], uint64(im.pos)|entryCopied)
			if err := im.append(table); err != nil {
				return err
			}
		}
	}
	l1Offset := im.pos
	if err := im.append(l1); err != nil {
		return err
	}
	refOffset, refClusters, err := im.references()
	if err != nil {
		return err
	}
	h := im.first[:]
	be.PutUint32(h, magic)
	be.PutUint32(h[hdrVersion:], 3)
	be.PutUint32(h[hdrClusterBits:], clusterBits)
	be.PutUint64(h[hdrSize:], uint64(im.size))
	be.PutUint32(h[hdrL1Size:], uint32(l1Size))
	be.PutUint64(h[hdrL1Offset:], uint64(l1Offset))
	be.PutUint64(h[hdrRefOffset:], uint64(refOffset))
	be.PutUint32(h[hdrRefClusters:], uint32(refClusters))
	be.PutUint32(h[hdrRefOrder:], refOrder)
	be.PutUint32(h[hdrLength:], headerLength)
	if im.comp == Zstd {
		be.PutUint64(h[hdrIncompat:], incompatComp)
		h[hdrCompression] = typeZstd
	}
	_, err = im.w.WriteAt(h, 0)
	return err
}

// append writes whole clusters that nothing else shares.
func (im *image) append(b []byte) error {
	if _, err := im.w.WriteAt(b, im.pos); err != nil {
		return err
	}
	im.use(im.pos, int64(len(b)))
	im.pos += int64(len(b))
	return nil
}

// references writes the reference counts, which count themselves too.
func (im *image) references() (table, clusters int64, err error) {
	used := im.pos >> clusterBits
	blocks, tables := int64(0), int64(0)
	for {
		b := (used + blocks + tables + refEntries - 1) / refEntries
		t := (b*8 + clusterSize - 1) >> clusterBits
		if b == blocks && t == tables {
			break
		}
		blocks, tables = b, t
	}
	table = im.pos
	list := make([]byte, tables<<clusterBits)
	for i := range blocks {
		binary.BigEndian.PutUint64(list[i*8:], uint64(table+(tables+i)<<clusterBits))
	}
	im.use(im.pos, (blocks+tables)<<clusterBits)
	counts := make([]byte, blocks<<clusterBits)
	for i, n := range im.refs {
		binary.BigEndian.PutUint16(counts[i*2:], n)
	}
	if _, err := im.w.WriteAt(list, table); err != nil {
		return 0, 0, err
	}
	_, err = im.w.WriteAt(counts, table+tables<<clusterBits)
	return table, tables, err
}
