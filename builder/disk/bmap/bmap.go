// Package bmap writes and reads block maps: which blocks of a disk image have
// to be written to a medium, and their checksums, so that the rest is left out.
// The format is the XML of bmaptool (the project's BmapCreate.py), version 2.0.
package bmap

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"cloudy/builder/disk/sparse"
)

// BlockSize is the size of a block in bytes in the maps that are written here.
const BlockSize = 4096

// ErrInvalid says that a text is no block map, or a damaged one.
var ErrInvalid = errors.New("invalid block map")

// Map is a block map.
type Map struct {
	ImageSize int64 // bytes
	BlockSize int64 // bytes
	Ranges    []Range
}

// Range is a run of blocks, both ends included.
type Range struct {
	First, Last int64
	SHA256      string // of the blocks, as far as the image has them; empty when unknown
}

// Mapped is the number of blocks in all ranges.
func (m *Map) Mapped() int64 {
	var n int64
	for _, r := range m.Ranges {
		n += r.Last - r.First + 1
	}
	return n
}

// Of maps an image: blocks that are not all zeros, and those of the extents in
// zeros, which have to be written though they are. done is told of the bytes
// that were read, and may be nil. The map depends on the image's bytes alone,
// not on how they are stored.
func Of(ctx context.Context, f *os.File, zeros []sparse.Extent, done func(n, total int64)) (*Map, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	m := &Map{ImageSize: info.Size(), BlockSize: BlockSize}
	runs, err := sparse.Runs(f, BlockSize)
	if err != nil {
		return nil, err
	}
	wanted := slices.Clone(runs)
	for _, z := range zeros {
		start, end := z.Offset/BlockSize*BlockSize, (min(z.End(), info.Size())+BlockSize-1)/BlockSize*BlockSize
		if end > start {
			wanted = append(wanted, sparse.Extent{Offset: start, Length: end - start})
		}
	}
	wanted = sparse.Merge(wanted)
	total := int64(0)
	for _, r := range wanted {
		total += r.Length
	}
	b := mapper{m: m, zeros: sparse.Merge(zeros), h: sha256.New()}
	buf := make([]byte, 1<<20)
	for _, r := range wanted {
		for at := r.Offset; at < r.End(); {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			n := min(int64(len(buf)), r.End()-at, info.Size()-at)
			if _, err := f.ReadAt(buf[:n], at); err != nil {
				return nil, err
			}
			b.add(buf[:n], at)
			if done != nil {
				done(n, total)
			}
			at += (n + BlockSize - 1) / BlockSize * BlockSize
		}
	}
	b.close()
	return m, nil
}

// mapper collects ranges.
type mapper struct {
	m     *Map
	zeros []sparse.Extent // merged; those that end before the next block are taken off
	h     hash.Hash
	open  bool
}

// add takes whole blocks (the image's last may be shorter) in their order.
func (b *mapper) add(data []byte, at int64) {
	for len(data) > 0 {
		block := data[:min(BlockSize, len(data))]
		for len(b.zeros) > 0 && b.zeros[0].End() <= at {
			b.zeros = b.zeros[1:]
		}
		needed := len(b.zeros) > 0 && b.zeros[0].Offset < at+BlockSize
		if needed || !sparse.Zero(block) {
			number := at / BlockSize
			last := len(b.m.Ranges) - 1
			if !b.open || b.m.Ranges[last].Last+1 != number {
				b.close()
				b.m.Ranges = append(b.m.Ranges, Range{First: number})
				last = len(b.m.Ranges) - 1
				b.open = true
			}
			b.m.Ranges[last].Last = number
			b.h.Write(block)
		} else {
			b.close()
		}
		data, at = data[len(block):], at+BlockSize
	}
}

// close ends the range that is open.
func (b *mapper) close() {
	if b.open {
		b.m.Ranges[len(b.m.Ranges)-1].SHA256 = hex.EncodeToString(b.h.Sum(nil))
		b.h.Reset()
		b.open = false
	}
}

// noSum stands where the map's own checksum goes while that is computed.
var noSum = strings.Repeat("0", 64)

// Write writes the map as XML.
func (m *Map) Write(w io.Writer) error {
	var b bytes.Buffer
	blocks := (m.ImageSize + m.BlockSize - 1) / m.BlockSize
	fmt.Fprintf(&b, `<?xml version="1.0" ?>
<!-- Blocks of the image that have to be written; the others may stay as they are.
     bmaptool and "cloudy flash" read this. -->
<bmap version="2.0">
    <ImageSize> %d </ImageSize>
    <BlockSize> %d </BlockSize>
    <BlocksCount> %d </BlocksCount>
    <MappedBlocksCount> %d </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <BmapFileChecksum> %s </BmapFileChecksum>
    <BlockMap>
`, m.ImageSize, m.BlockSize, blocks, m.Mapped(), noSum)
	for _, r := range m.Ranges {
		where := strconv.FormatInt(r.First, 10)
		if r.Last != r.First {
			where += "-" + strconv.FormatInt(r.Last, 10)
		}
		fmt.Fprintf(&b, "        <Range chksum=\"%s\"> %s </Range>\n", r.SHA256, where)
	}
	b.WriteString("    </BlockMap>\n</bmap>\n")
	sum := sha256.Sum256(b.Bytes())
	_, err := w.Write(bytes.Replace(b.Bytes(), []byte(noSum), []byte(hex.EncodeToString(sum[:])), 1))
	return err
}

// document is the XML.
type document struct {
	XMLName   xml.Name `xml:"bmap"`
	Version   string   `xml:"version,attr"`
	ImageSize string   `xml:"ImageSize"`
	BlockSize string   `xml:"BlockSize"`
	Type      string   `xml:"ChecksumType"`
	Sum       string   `xml:"BmapFileChecksum"`
	Ranges    []struct {
		Sum  string `xml:"chksum,attr"`
		Text string `xml:",chardata"`
	} `xml:"BlockMap>Range"`
}

// maxBlockMap is far more than the map of any image takes, in bytes.
const maxBlockMap = 64 << 20

// Read reads a map of version 2 and verifies its checksum. Ranges are in order
// and within the image. Anything else is an ErrInvalid.
func Read(r io.Reader) (*Map, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBlockMap))
	if err != nil {
		return nil, err
	}
	var d document
	if err := xml.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !strings.HasPrefix(d.Version, "2.") || strings.TrimSpace(d.Type) != "sha256" {
		return nil, fmt.Errorf("%w: version %q with checksums %q; want 2.0 with sha256", ErrInvalid, d.Version, strings.TrimSpace(d.Type))
	}
	want := strings.TrimSpace(d.Sum)
	if len(want) != len(noSum) {
		return nil, fmt.Errorf("%w: no checksum of its own", ErrInvalid)
	}
	if sum := sha256.Sum256(bytes.Replace(data, []byte(want), []byte(noSum), 1)); hex.EncodeToString(sum[:]) != want {
		return nil, fmt.Errorf("%w: its own checksum does not fit", ErrInvalid)
	}
	m := &Map{}
	if m.ImageSize, err = number(d.ImageSize); err != nil {
		return nil, err
	}
	if m.BlockSize, err = number(d.BlockSize); err != nil || m.BlockSize == 0 {
		return nil, errors.Join(fmt.Errorf("%w: block size %q", ErrInvalid, d.BlockSize), err)
	}
	next, end := int64(0), (m.ImageSize+m.BlockSize-1)/m.BlockSize
	for _, x := range d.Ranges {
		first, last, ok := strings.Cut(x.Text, "-")
		if !ok {
			last = first
		}
		var g Range
		var err1, err2 error
		g.First, err1 = number(first)
		g.Last, err2 = number(last)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		if g.First < next || g.Last < g.First || g.Last >= end {
			return nil, fmt.Errorf("%w: blocks %s of %d", ErrInvalid, strings.TrimSpace(x.Text), end)
		}
		g.SHA256, next = x.Sum, g.Last+1
		m.Ranges = append(m.Ranges, g)
	}
	return m, nil
}

func number(s string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 62)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%w: %q is no number", ErrInvalid, strings.TrimSpace(s))
	}
	return n, nil
}
