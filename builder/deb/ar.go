package deb

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// arMagic begins every ar archive (ar(5), deb(5)).
const arMagic = "!<arch>\n"

// arReader reads the members of an ar archive as they come. .deb files use the
// plain format: names of at most 16 bytes, no long-name table.
type arReader struct {
	r    io.Reader
	left int64 // bytes of the current member not yet read
	pad  bool  // the current member is followed by a byte of padding
}

func newArReader(r io.Reader) (*arReader, error) {
	var magic [len(arMagic)]byte
	if _, err := io.ReadFull(r, magic[:]); err != nil {
		return nil, fmt.Errorf("read ar header: %w", unexpected(err))
	}
	if string(magic[:]) != arMagic {
		return nil, fmt.Errorf("not an ar archive: starts with %q", magic[:])
	}
	return &arReader{r: r}, nil
}

// next goes to the next member and returns its name; io.EOF after the last.
// What is left of the member before is skipped.
func (a *arReader) next() (string, error) {
	if err := a.skip(); err != nil {
		return "", err
	}
	var h [60]byte
	if n, err := io.ReadFull(a.r, h[:]); err != nil {
		if n == 0 && err == io.EOF {
			return "", io.EOF
		}
		return "", fmt.Errorf("read ar member header: %w", unexpected(err))
	}
	if h[58] != '`' || h[59] != '\n' {
		return "", fmt.Errorf("ar member header is damaged: %q", h[:])
	}
	// The base system's ar puts a slash after the name, dpkg-deb does not.
	name := strings.TrimSuffix(strings.TrimRight(string(h[:16]), " "), "/")
	size, err := strconv.ParseInt(strings.TrimRight(string(h[48:58]), " "), 10, 64)
	if err != nil || size < 0 || name == "" {
		return "", fmt.Errorf("ar member header is damaged: %q", h[:])
	}
	a.left, a.pad = size, size&1 == 1
	return name, nil
}

// skip goes to the end of the current member, padding included.
func (a *arReader) skip() error {
	n := a.left
	if a.pad {
		n++
	}
	a.pad = false
	m, err := io.CopyN(io.Discard, a.r, n)
	left := a.left
	a.left = 0
	if err == io.EOF && m >= left {
		return nil // the last member's padding is missing: harmless, and seen in the wild
	}
	if err != nil {
		return fmt.Errorf("read ar member: %w", unexpected(err))
	}
	return nil
}

// Read reads from the current member.
func (a *arReader) Read(p []byte) (int, error) {
	if a.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > a.left {
		p = p[:a.left]
	}
	n, err := a.r.Read(p)
	a.left -= int64(n)
	if err == io.EOF {
		if a.left > 0 {
			return n, io.ErrUnexpectedEOF
		}
		err = nil
	}
	return n, err
}

// unexpected makes an end of file within a structure an error of its own.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
