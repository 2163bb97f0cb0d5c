package flash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"cloudy/builder/disk/bmap"
	"cloudy/builder/disk/qcow2"
	"cloudy/builder/disk/sparse"
	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/builder/report"
)

// Image is a disk image that can be read from front to back.
type Image struct {
	Path   string
	Format string    // raw or qcow2, with the compression around it: "raw in zstd"
	Size   int64     // bytes of the disk
	Map    *bmap.Map // what has to be written; nil is all

	file  *os.File
	kind  string // of the compression, or empty
	qcow2 *qcow2.Image
}

// Open opens an image: a raw disk, compressed or not, or qcow2. mapPath names
// its block map; empty takes the one beside the image, if there is one, and
// "none" takes none. A compressed image that does not say its size is read
// once to find out, and is known to be whole then.
func Open(ctx context.Context, path, mapPath string) (*Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fail.Mark(fail.User, err)
	}
	im := &Image{Path: path, Format: "raw", file: f}
	if err := im.open(ctx, mapPath); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return im, nil
}

// Close closes the file.
func (im *Image) Close() error { return im.file.Close() }

func (im *Image) open(ctx context.Context, mapPath string) error {
	info, err := im.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return fail.Mark(fail.User, fmt.Errorf("%s is no image file", im.Path))
	}
	kind, err := report.Detect(im.file, info.Size())
	if err != nil {
		return err
	}
	switch {
	case kind == "raw" || kind == "iso9660":
		im.Size = info.Size()
	case kind == "qcow2":
		if im.qcow2, err = qcow2.Open(im.file); err != nil {
			return fail.Mark(fail.User, fmt.Errorf("%s: %w", im.Path, err))
		}
		im.Format, im.Size = kind, im.qcow2.Size()
	case report.Compressed(kind):
		im.Format, im.kind = "raw in "+kind, kind
	default:
		return fail.WithHint(fail.User, fmt.Errorf("%s is %s, which is no disk image", im.Path, kind), "raw images, compressed or not, and qcow2 can be written")
	}
	if err := im.loadMap(mapPath); err != nil {
		return err
	}
	if im.kind == "" {
		return im.checkMap()
	}
	if im.Map != nil {
		im.Size = im.Map.ImageSize // the reader notices when it is not so
		return im.checkInner(ctx)
	}
	return im.measure(ctx)
}

// loadMap reads the block map: NAME.bmap, for NAME.raw.zst as for NAME.raw.
func (im *Image) loadMap(path string) error {
	candidates := []string{path}
	switch path {
	case "none":
		return nil
	case "":
		candidates = mapNames(im.Path)
	}
	for _, c := range candidates {
		f, err := os.Open(c)
		if errors.Is(err, os.ErrNotExist) && path == "" {
			continue
		}
		if err != nil {
			return fail.Mark(fail.User, err)
		}
		defer f.Close()
		if im.Map, err = bmap.Read(f); err != nil {
			return fail.WithHint(fail.User, fmt.Errorf("%s: %w", c, err), "--bmap none writes the whole image without it")
		}
		return nil
	}
	return nil
}

func (im *Image) checkMap() error {
	if im.Map != nil && im.Map.ImageSize != im.Size {
		return fail.WithHint(fail.User, fmt.Errorf("the block map is of an image of %d bytes, and %s has %d", im.Map.ImageSize, im.Path, im.Size),
			"--bmap names another map, --bmap none writes the whole image without one")
	}
	return nil
}

// checkInner looks at the beginning of what is compressed.
func (im *Image) checkInner(ctx context.Context) error {
	r, err := im.Reader(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	head := make([]byte, 33<<10)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fail.Mark(fail.User, fmt.Errorf("read %s: %w", im.Path, err))
	}
	if kind, err := report.Detect(strings.NewReader(string(head[:n])), 0); err != nil || kind != "raw" && kind != "iso9660" {
		return fail.WithHint(fail.User, fmt.Errorf("in %s is %s, which cannot be written from there", im.Path, kind), "unpack it first")
	}
	return nil
}

// measure reads all of a compressed image.
func (im *Image) measure(ctx context.Context) error {
	if err := im.checkInner(ctx); err != nil {
		return err
	}
	r, err := im.Reader(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	step := progress.Begin(ctx, "check image", 0, progress.Bytes)
	n, err := io.Copy(counter{step}, r)
	if err == nil && n == 0 {
		err = errors.New("empty")
	}
	if err != nil {
		return step.End(fail.WithHint(fail.User, fmt.Errorf("read %s: %w", im.Path, err), "the file is damaged or not whole; get it again"))
	}
	im.Size = n
	return step.End(nil)
}

type counter struct{ step *progress.Step }

func (c counter) Write(p []byte) (int, error) {
	c.step.Add(int64(len(p)))
	return len(p), nil
}

// Reader reads the disk from its first byte to its last.
func (im *Image) Reader(ctx context.Context) (io.ReadCloser, error) {
	info, err := im.file.Stat()
	if err != nil {
		return nil, err
	}
	packed := &stoppable{ctx, io.NewSectionReader(im.file, 0, info.Size())}
	switch {
	case im.qcow2 != nil:
		return io.NopCloser(&stoppable{ctx, io.NewSectionReader(im.qcow2, 0, im.Size)}), nil
	case im.kind == "":
		return io.NopCloser(packed), nil
	}
	r, free, err := report.Decompress(packed, im.kind)
	if err != nil {
		return nil, fail.Mark(fail.User, fmt.Errorf("read %s: %w", im.Path, err))
	}
	return freeing{r, free}, nil
}

// stoppable ends when the context does.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

type freeing struct {
	io.Reader
	free func()
}

func (f freeing) Close() error {
	f.free()
	return nil
}

// ranges lists what has to be written, in bytes and in order, with the
// checksums that the map has.
func (im *Image) ranges() []piece {
	if im.Map == nil {
		return []piece{{Extent: sparse.Extent{Length: im.Size}}}
	}
	var out []piece
	for _, r := range im.Map.Ranges {
		start := r.First * im.Map.BlockSize
		end := min((r.Last+1)*im.Map.BlockSize, im.Size)
		out = append(out, piece{sparse.Extent{Offset: start, Length: end - start}, r.SHA256})
	}
	return out
}

// piece is a part of the image that has to be written.
type piece struct {
	sparse.Extent
	sum string // SHA-256 in hexadecimal, or empty
}
