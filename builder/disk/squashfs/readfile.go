package squashfs

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"

	"cloudy/builder/tree"
)

// fileReader reads a file from front to back.
type fileReader struct {
	im   *Image
	c    *content
	left int64 // bytes of the file that are not in buf
	next int   // block
	pos  int64 // where that is
	buf  []byte
}

func (f *fileReader) Read(p []byte) (int, error) {
	for len(f.buf) == 0 {
		if f.left == 0 {
			return 0, io.EOF
		}
		if err := f.fill(); err != nil {
			return 0, err
		}
		f.left -= int64(len(f.buf))
	}
	n := copy(p, f.buf)
	f.buf = f.buf[n:]
	return n, nil
}

// fill reads the next block.
func (f *fileReader) fill() error {
	want := int(min(f.left, int64(f.im.blockSize)))
	if f.next == len(f.c.sizes) {
		data, err := f.im.fragment(f.c.fragment)
		if err != nil {
			return err
		}
		if int64(f.c.offset)+int64(want) > int64(len(data)) {
			return fmt.Errorf("%w: a fragment ends too early", ErrInvalid)
		}
		f.buf = data[f.c.offset:][:want]
		return nil
	}
	size := f.c.sizes[f.next]
	f.next++
	if size == 0 {
		f.buf = make([]byte, want)
		return nil
	}
	n := int(size &^ storedData)
	data, err := f.im.packed(f.pos, n, size&storedData != 0, f.im.blockSize)
	if err != nil {
		return err
	}
	if len(data) != want {
		return fmt.Errorf("%w: a block of %d bytes, want %d", ErrInvalid, len(data), want)
	}
	f.buf, f.pos = data, f.pos+int64(n)
	return nil
}

// fragment returns a block that small files share. Files in the order of the
// tree come from one mostly.
func (im *Image) fragment(number uint32) ([]byte, error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	if im.shared.number == number && number != none {
		return im.shared.data, nil
	}
	at := int64(number) * 16
	if at >= int64(len(im.fragments)) {
		return nil, fmt.Errorf("%w: there is no fragment %d", ErrInvalid, number)
	}
	b := im.fragments[at:] // squashfs_fragment_entry
	size := binary.LittleEndian.Uint32(b[8:])
	data, err := im.packed(int64(binary.LittleEndian.Uint64(b)), int(size&^storedData), size&storedData != 0, im.blockSize)
	if err != nil {
		return nil, err
	}
	im.shared.number, im.shared.data = number, data
	return data, nil
}

// attributes reads a set of extended attributes (squashfs_xattr_entry).
func (im *Image) attributes(number uint32) ([]tree.Xattr, error) {
	if number == none {
		return nil, nil
	}
	at := int64(number) * 16
	if at >= int64(len(im.xattrSets)) {
		return nil, fmt.Errorf("%w: there is no set of attributes %d", ErrInvalid, number)
	}
	le := binary.LittleEndian
	place, count := le.Uint64(im.xattrSets[at:]), le.Uint32(im.xattrSets[at+8:])
	c, err := im.cursor(im.xattrs, place>>16, int(place&0xffff))
	if err != nil {
		return nil, err
	}
	if count > 0xffff {
		return nil, fmt.Errorf("%w: %d attributes of one file", ErrInvalid, count)
	}
	var out []tree.Xattr
	for range count {
		head, err := c.take(4)
		if err != nil {
			return nil, err
		}
		kind, size := le.Uint16(head), int(le.Uint16(head[2:]))
		if int(kind&0xff) >= len(xattrPrefixes) {
			return nil, fmt.Errorf("%w: an attribute of kind %d", ErrInvalid, kind)
		}
		name, err := c.take(size)
		if err != nil {
			return nil, err
		}
		value, err := im.value(c, kind&0x100 != 0)
		if err != nil {
			return nil, err
		}
		out = append(out, tree.Xattr{Name: xattrPrefixes[kind&0xff] + string(name), Value: value})
	}
	slices.SortFunc(out, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// value reads the value of an attribute, which may be the place of one that
// several share.
func (im *Image) value(c *cursor, elsewhere bool) ([]byte, error) {
	le := binary.LittleEndian
	head, err := c.take(4)
	if err != nil {
		return nil, err
	}
	value, err := c.take(int(le.Uint32(head)))
	if err != nil || !elsewhere {
		return slices.Clone(value), err
	}
	if len(value) != 8 {
		return nil, fmt.Errorf("%w: the place of an attribute has %d bytes", ErrInvalid, len(value))
	}
	place := le.Uint64(value)
	if c, err = im.cursor(im.xattrs, place>>16, int(place&0xffff)); err != nil {
		return nil, err
	}
	return im.value(c, false)
}
