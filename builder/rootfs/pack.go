package rootfs

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/klauspost/pgzip"
	"golang.org/x/sys/unix"

	"cloudy/builder/sandbox"
)

// An initramfs is 40 to 80 MB that gzip packs on one core in more than a
// second, at the end of the longest chain of a build. While update-initramfs
// runs, a script stands in gzip's place that sends what mkinitramfs packs
// through two named pipes to this process, which packs blocks of it side by
// side. It is the only file of a root whose bytes are not those of Debian's
// own programs; unpacked it is the same.

const (
	gzipPath        = "usr/bin/gzip"
	mkinitramfsPath = "usr/sbin/mkinitramfs"
	realGzip        = "/run/cloudy-gzip"
	packPipe        = "/run/cloudy-unpacked"
	gzipPipe        = "/run/cloudy-packed"
	packLevel       = 6 // gzip's own
	packBlock       = 1 << 20
)

// packer stands for gzip. What mkinitramfs asks of it, with
// SOURCE_DATE_EPOCH set, are just these two flags.
var packer = []byte(`#!/bin/sh
[ "$*" = "-n -c" ] || exec ` + realGzip + ` "$@"
cat ` + gzipPipe + ` &
cat >` + packPipe + ` && wait $!
`)

// packing is the other end of the pipes.
type packing struct {
	dir     string // on the host, holds the pipes
	stopped atomic.Bool
	done    chan error
}

// startPacking waits for the stand-in to send something; stop ends it.
func startPacking() (*packing, error) {
	dir, err := os.MkdirTemp("", "cloudy-pack-*")
	if err != nil {
		return nil, err
	}
	p := &packing{dir: dir, done: make(chan error, 1)}
	for _, end := range []string{packPipe, gzipPipe} {
		if err := unix.Mkfifo(p.pipe(end), 0o600); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	go func() { p.done <- p.serve() }()
	return p, nil
}

func (p *packing) pipe(target string) string { return filepath.Join(p.dir, filepath.Base(target)) }

// binds put the stand-in and its pipes into the root.
func (p *packing) binds(root string) []sandbox.Bind {
	return []sandbox.Bind{
		{Source: filepath.Join(root, gzipPath), Target: realGzip}, // before its place is taken
		{Source: p.pipe(packPipe), Target: packPipe},
		{Source: p.pipe(gzipPipe), Target: gzipPipe},
		{Data: packer, Mode: 0o755, Target: "/" + gzipPath},
	}
}

func (p *packing) serve() error {
	for !p.stopped.Load() {
		if err := p.packOne(); err != nil {
			return err
		}
	}
	return nil
}

// packOne serves one run of the stand-in. Both opens wait for it.
func (p *packing) packOne() error {
	in, err := os.OpenFile(p.pipe(packPipe), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	if p.stopped.Load() {
		return nil
	}
	out, err := os.OpenFile(p.pipe(gzipPipe), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer out.Close()
	err = pack(out, in)
	if errors.Is(err, unix.EPIPE) {
		// Whoever asked is gone, and mkinitramfs says so.
		_, err = io.Copy(io.Discard, in)
	}
	return err
}

// pack is `gzip -n` but for how it finds what repeats. It makes one member: the
// kernel takes each for archives of its own and would not find the rest of one.
func pack(w io.Writer, r io.Reader) error {
	z, err := pgzip.NewWriterLevel(w, packLevel)
	if err != nil {
		return err
	}
	z.ModTime = time.Unix(0, 0)
	// Blocks of a fixed size make the same bytes on any number of cores.
	if err := z.SetConcurrency(packBlock, 4); err != nil {
		return err
	}
	if _, err := io.Copy(z, r); err != nil {
		return errors.Join(err, z.Close())
	}
	return z.Close()
}

// stop ends the service and says what went wrong in it. It is called when
// nothing in the root can ask any more.
func (p *packing) stop() error {
	p.stopped.Store(true)
	for {
		// Where packOne waits for somebody to open the other end of a pipe,
		// this is somebody.
		for end, flag := range map[string]int{packPipe: os.O_WRONLY, gzipPipe: os.O_RDONLY} {
			if fd, err := unix.Open(p.pipe(end), flag|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
				unix.Close(fd)
			}
		}
		select {
		case err := <-p.done:
			return errors.Join(err, os.RemoveAll(p.dir))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// packsHere says whether what the root's mkinitramfs makes is packed here:
// whether it asks gzip in the words that the stand-in knows, and there can be
// pipes in the root.
func (h *held) packsHere() bool {
	script, err := h.in.db.root.ReadFile(mkinitramfsPath)
	return err == nil && h.in.runner.sandbox.Mode() != sandbox.ModePlain &&
		bytes.Contains(script, []byte(`compress="gzip -n"`)) && bytes.Contains(script, []byte(`| $compress -c`))
}
