package ext4

import (
	"fmt"
	"io"

	"cloudy/builder/fail"
)

// device is the place in the image where the filesystem goes.
type device struct {
	w   io.WriterAt
	off int64
}

// writeAt writes p at byte at of the filesystem.
func (d device) writeAt(p []byte, at int64) error {
	if _, err := d.w.WriteAt(p, d.off+at); err != nil {
		return fail.Mark(fail.Host, fmt.Errorf("ext4: writing the image: %w", err))
	}
	return nil
}

func (d device) writeBlock(p []byte, block uint64) error { return d.writeAt(p, int64(block)*BlockSize) }

// chunk is the size of reads and writes in bytes.
const chunk = 1 << 20

// sink joins writes that follow one another on the disk into large ones.
type sink struct {
	d   device
	at  int64 // byte on the disk of buf[0]
	buf []byte
}

func (s *sink) write(p []byte, at int64) error {
	if len(s.buf) > 0 && (at != s.at+int64(len(s.buf)) || len(s.buf) >= chunk) {
		if err := s.flush(); err != nil {
			return err
		}
	}
	if len(s.buf) == 0 {
		s.at = at
	}
	s.buf = append(s.buf, p...)
	return nil
}

// flush writes what is pending, filled up with zeros to a whole block.
func (s *sink) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	if rest := len(s.buf) % BlockSize; rest > 0 {
		s.buf = append(s.buf, make([]byte, BlockSize-rest)...)
	}
	err := s.d.writeAt(s.buf, s.at)
	s.buf = s.buf[:0]
	return err
}
