package flash

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"cloudy/builder/fail"
)

// Medium is what is written to. Bulk goes past the page cache, so that an
// error comes with the write that caused it and reading back reads the medium:
// buffers from Buffer, offsets and lengths in whole sectors. ReadAt and WriteAt
// take anything.
type Medium interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	BulkRead(p []byte, off int64) error
	BulkWrite(p []byte, off int64) error
	Sync() error
	Size() int64
	// Done tells the kernel to look at the new partition table.
	Done() error
	Close() error
}

// disk is a block device.
type disk struct {
	*os.File          // through the page cache, and the claim on the device
	direct   *os.File // past it; the same as File where the device does not allow that
	size     int64
}

// OpenDevice claims a device for writing: while it is open nobody can mount it.
func OpenDevice(d Device) (Medium, error) {
	// On a block device O_EXCL without O_CREAT means that nobody else has it (open(2)).
	f, err := os.OpenFile(d.Path, os.O_RDWR|unix.O_EXCL, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, fail.WithHint(fail.User, fmt.Errorf("%s is in use", d.Path), "unmount it first, if it is the right one")
	case errors.Is(err, unix.EROFS):
		return nil, fail.WithHint(fail.User, fmt.Errorf("%s is read-only", d.Path), "many cards and adapters have a small lock on their side")
	case errors.Is(err, os.ErrPermission):
		return nil, fail.WithHint(fail.User, fmt.Errorf("%s: no permission to write", d.Path), "run it again with sudo")
	case err != nil:
		return nil, fail.Mark(fail.Host, err)
	}
	m := &disk{File: f, direct: f, size: d.Size}
	if direct, err := os.OpenFile(d.Path, os.O_RDWR|unix.O_DIRECT, 0); err == nil {
		m.direct = direct
	}
	return m, nil
}

func (d *disk) Size() int64 { return d.size }

func (d *disk) BulkRead(p []byte, off int64) error {
	if d.direct == d.File {
		_ = unix.IoctlSetInt(int(d.Fd()), unix.BLKFLSBUF, 0)
	}
	_, err := d.direct.ReadAt(p, off)
	return err
}

func (d *disk) BulkWrite(p []byte, off int64) error {
	_, err := d.direct.WriteAt(p, off)
	return err
}

func (d *disk) Sync() error {
	return errors.Join(d.File.Sync(), d.direct.Sync())
}

func (d *disk) Done() error {
	// What was read through the cache from now on is what the medium has.
	_ = unix.IoctlSetInt(int(d.Fd()), unix.BLKFLSBUF, 0)
	err := unix.IoctlSetInt(int(d.Fd()), unix.BLKRRPART, 0)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTTY) {
		return nil // a device that cannot have partitions
	}
	return err
}

func (d *disk) Close() error {
	if d.direct != d.File {
		return errors.Join(d.direct.Close(), d.File.Close())
	}
	return d.File.Close()
}

// bufferAlign suits every device: logical sectors are at most a page.
const bufferAlign = 4096

// Buffer returns n bytes that a device can read and write directly.
func Buffer(n int) []byte {
	b := make([]byte, n+bufferAlign)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (bufferAlign - 1))
	return b[skip : skip+n : skip+n]
}
