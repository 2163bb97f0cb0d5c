package deb

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxControl bounds the uncompressed size of a control archive. The largest
// of trixie, with tens of thousands of md5sums, have a few MiB.
const maxControl = 64 << 20

// ControlFile is a file of the control archive: control, md5sums, conffiles,
// triggers, a maintainer script.
type ControlFile struct {
	Data []byte
	Mode int64 // permission bits
}

// Reader reads a .deb file (deb(5)) from a stream, front to back: Control,
// then Data, then Finish.
type Reader struct {
	dec     decoders
	ar      *arReader
	control map[string]ControlFile
	data    io.Reader // uncompressed data member, once Data was called
}

// NewReader starts reading a .deb file. An error says that r is none, or of a
// format version other than 2.
func NewReader(r io.Reader) (*Reader, error) {
	d := &Reader{}
	if err := d.Reset(r); err != nil {
		return nil, err
	}
	return d, nil
}

// Reset starts reading another .deb file with the buffers of this Reader.
func (d *Reader) Reset(r io.Reader) error {
	d.control, d.data = nil, nil
	a, err := newArReader(r)
	if err != nil {
		return err
	}
	d.ar = a
	name, err := a.next()
	if err != nil {
		return unexpected(err)
	}
	if name != "debian-binary" {
		return fmt.Errorf("not a .deb file: first member is %q", name)
	}
	version, err := io.ReadAll(io.LimitReader(a, 256))
	if err != nil {
		return fmt.Errorf("read debian-binary: %w", err)
	}
	if !strings.HasPrefix(string(version), "2.") || !strings.Contains(string(version), "\n") {
		return fmt.Errorf("unknown .deb format version %.20q", version)
	}
	return nil
}

// member goes to the member called want with any compression, and opens it.
// Members whose name starts with an underscore are skipped, as deb(5) asks.
func (d *Reader) member(want string) (io.Reader, error) {
	for {
		name, err := d.ar.next()
		if err == io.EOF {
			return nil, fmt.Errorf("no member %s: %w", want, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(name, "_") {
			continue
		}
		suffix, ok := strings.CutPrefix(name, want)
		if !ok {
			return nil, fmt.Errorf("member %q where %s is expected", name, want)
		}
		r, err := d.dec.open(d.ar, suffix)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", name, unexpected(err))
		}
		return r, nil
	}
}

// Control returns the files of the control archive by name. It has to come
// before Data (which calls it when nobody did).
func (d *Reader) Control() (map[string]ControlFile, error) {
	if d.control != nil {
		return d.control, nil
	}
	r, err := d.member("control.tar")
	if err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: r, N: maxControl}
	files := map[string]ControlFile{}
	for tr := tar.NewReader(limited); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = readControl(tr, h, files)
		}
		if err != nil {
			if limited.N <= 0 {
				err = fmt.Errorf("larger than %d MiB", maxControl>>20)
			}
			return nil, fmt.Errorf("read control archive: %w", unexpected(err))
		}
	}
	// The rest holds the compressor's check sum.
	if _, err := io.Copy(io.Discard, limited); err != nil {
		return nil, fmt.Errorf("read control archive: %w", err)
	}
	if _, ok := files["control"]; !ok {
		return nil, errors.New("control archive has no file control")
	}
	d.control = files
	return files, nil
}

// readControl stores one entry. Control files are plain files in one folder;
// anything else in there has no meaning for dpkg.
func readControl(tr *tar.Reader, h *tar.Header, files map[string]ControlFile) error {
	name, err := CleanPath(h.Name)
	if err != nil {
		return err
	}
	if h.Typeflag == tar.TypeDir && name == "." {
		return nil
	}
	if h.Typeflag != tar.TypeReg || strings.Contains(name, "/") {
		return fmt.Errorf("%q is not a plain file", h.Name)
	}
	data, err := io.ReadAll(tr)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	files[name] = ControlFile{Data: data, Mode: h.Mode & 0o7777}
	return nil
}

// Data returns the files of the package. Names and link targets in the
// headers are as they stand in the archive: pass them through CleanPath. Call
// Finish after the last entry.
func (d *Reader) Data() (*tar.Reader, error) {
	if _, err := d.Control(); err != nil {
		return nil, err
	}
	if d.data != nil {
		return nil, errors.New("data archive was read already")
	}
	r, err := d.member("data.tar")
	if err != nil {
		return nil, err
	}
	d.data = r
	return tar.NewReader(r), nil
}

// Finish reads what follows the end of the data archive: the compressor's
// check sum, which would otherwise go unseen, and the rest of the file, so
// that a hash over the stream sees it all. The Reader can be Reset afterwards.
func (d *Reader) Finish() error {
	if d.data == nil {
		if _, err := d.Data(); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, d.data); err != nil {
		return fmt.Errorf("read data archive: %w", err)
	}
	if err := d.ar.skip(); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, d.ar.r); err != nil {
		return fmt.Errorf("read .deb file: %w", err)
	}
	return nil
}

// Close frees the decoders' memory. It does not close the source.
func (d *Reader) Close() { d.dec.Close() }
