package compress

import (
	"encoding/binary"
	"io"
)

// Magic numbers of the seekable format (zstd's contrib/seekable_format,
// zstd_seekable_compression_format.md 0.1.0): the frames are followed by a
// skippable one, which ordinary decoders pass over, with a table of them.
const (
	skippableMagic = 0x184D2A5E
	seekableMagic  = 0x8F92EAB1
)

// NewSeekable is NewWriter for zstd with a table of the frames at the end, by
// which a reader finds any part without decoding what is before it.
func NewSeekable(w io.Writer) (io.WriteCloser, error) {
	c, err := Zstd.codec()
	if err != nil {
		return nil, err
	}
	c.frame = seekable
	return c.newWriter(w)
}

// seekable is the table.
func seekable() frame {
	le := binary.LittleEndian
	var table []byte
	return frame{
		add: func(chunk int, packed []byte) error {
			table = le.AppendUint32(le.AppendUint32(table, uint32(len(packed))), uint32(chunk))
			return nil
		},
		tail: func() []byte {
			b := le.AppendUint32(nil, skippableMagic)
			b = append(le.AppendUint32(b, uint32(len(table)+9)), table...)
			b = le.AppendUint32(b, uint32(len(table)/8))
			b = append(b, 0) // no checksums of frames: the frames have their own
			return le.AppendUint32(b, seekableMagic)
		},
	}
}
