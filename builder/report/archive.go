package report

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloudy/builder/tree"
)

// openFolder reads a folder: an OCI layout, or a root as it is.
func (o *Opened) openFolder(ctx context.Context, opts OpenOptions) error {
	if _, err := os.Stat(filepath.Join(o.Path, "oci-layout")); err == nil {
		root, err := os.OpenRoot(o.Path)
		if err != nil {
			return err
		}
		o.closers = append(o.closers, root)
		return o.openOCI(ctx, func(name string) (io.ReadCloser, error) { return root.Open(name) }, opts)
	}
	o.Format = "folder"
	t, err := tree.Scan(o.Path)
	if err != nil {
		return err
	}
	if o.Contents, err = o.add(RootOf(t)); err != nil {
		return err
	}
	o.Size = o.Contents.Size
	return ctx.Err()
}

// openTar reads a tar archive: a root, an Incus image, an OCI layout, or an OVA.
func (o *Opened) openTar(ctx context.Context, r io.Reader, opts OpenOptions) error {
	spool := filepath.Join(o.spool, "tar")
	if err := os.Mkdir(spool, 0o700); err != nil {
		return err
	}
	t, err := tree.ReadTar(&ctxReader{ctx, r}, spool)
	if err != nil {
		return err
	}
	if t.Find("oci-layout") != nil && t.Find("index.json") != nil {
		files := RootOf(t)
		return o.openOCI(ctx, func(name string) (io.ReadCloser, error) {
			e := files.Find(name)
			if e == nil {
				return nil, fmt.Errorf("%s: %w", name, os.ErrNotExist)
			}
			return files.open(files.file(e))
		}, opts)
	}
	o.Format = "tar"
	root := tarRoot(t)
	if root.Tree != t {
		o.Format = "incus image"
	}
	if slices.ContainsFunc(t.Entries, func(e tree.Entry) bool { return strings.HasSuffix(e.Path, ".ovf") }) {
		o.Format = "ova"
	}
	o.Contents, err = o.add(root)
	return err
}

// subRoot is the part of a root below a folder, as a root of its own. Links
// that name files outside of it are left as they are.
func subRoot(r *Root, dir string) *Root {
	t := &tree.Tree{}
	for _, e := range r.Entries {
		switch rest, below := strings.CutPrefix(e.Path, dir+"/"); {
		case e.Path == dir:
			e.Path = "."
		case below:
			e.Path = rest
		default:
			continue
		}
		if e.Type == tree.Hardlink {
			e.Link = strings.TrimPrefix(e.Link, dir+"/")
		}
		t.Entries = append(t.Entries, e)
	}
	t.Sort()
	return &Root{Tree: t, Content: r.Content}
}

// errCPIO means that a cpio archive is not what its format says.
var errCPIO = errors.New("bad cpio archive")

// openCPIO reads an initrd: archives in the newc format one behind the other,
// some of them compressed (Documentation/driver-api/early-userspace/buffer-format.rst).
func (o *Opened) openCPIO(ctx context.Context, r io.Reader) error {
	o.Format = "cpio"
	entries := map[string]tree.Entry{".": {Path: ".", Type: tree.Dir, Mode: 0o755}}
	in := bufio.NewReaderSize(&ctxReader{ctx, r}, 64<<10)
	for depth := 0; ; {
		head, err := in.Peek(6)
		if err != nil {
			break // the end, or padding too short to be anything
		}
		switch kind := detectHead(head); {
		case kind == "cpio":
			if err := readCPIO(in, entries); err != nil {
				return err
			}
		case Compressed(kind) && depth < 4:
			depth++
			o.Compression = append(o.Compression, kind)
			z, free, err := Decompress(in, kind)
			if err != nil {
				return err
			}
			defer free()
			in = bufio.NewReaderSize(z, 64<<10)
		case head[0] == 0:
			if _, err := in.Discard(1); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: neither an archive nor padding behind the first one", errCPIO)
		}
	}
	t := &tree.Tree{}
	for _, e := range entries {
		t.Entries = append(t.Entries, e)
	}
	t.Sort()
	var err error
	o.Contents, err = o.add(RootOf(t))
	return err
}

// cpioName bounds a name, cpioKeep the content that is kept: what of an initrd
// is read is os-release and the like.
const (
	cpioName = 4096
	cpioKeep = 64 << 10
)

// readCPIO reads one newc archive to its trailer. Names of one file are kept
// as files of their own, of which the last one has the content.
func readCPIO(in *bufio.Reader, entries map[string]tree.Entry) error {
	at := 0
	pad := func() error {
		n, err := in.Discard(-at & 3)
		at += n
		return err
	}
	for {
		var head [110]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return fmt.Errorf("%w: %w", errCPIO, err)
		}
		at += len(head)
		if m := string(head[:6]); m != "070701" && m != "070702" {
			return fmt.Errorf("%w: no header at byte %d", errCPIO, at-len(head))
		}
		var f [13]int64 // inode, mode, uid, gid, links, time, size, device x2, special x2, name, sum
		for i := range f {
			n, err := strconv.ParseUint(string(head[6+8*i:14+8*i]), 16, 32)
			if err != nil {
				return fmt.Errorf("%w: %w", errCPIO, err)
			}
			f[i] = int64(n)
		}
		mode, size, nameLen := f[1], f[6], f[11]
		if nameLen < 1 || nameLen > cpioName {
			return fmt.Errorf("%w: a name of %d bytes", errCPIO, nameLen)
		}
		name := make([]byte, nameLen)
		if _, err := io.ReadFull(in, name); err != nil {
			return fmt.Errorf("%w: %w", errCPIO, err)
		}
		at += len(name)
		if err := pad(); err != nil {
			return fmt.Errorf("%w: %w", errCPIO, err)
		}
		p := path.Clean(strings.TrimLeft(string(bytes.TrimRight(name, "\x00")), "/"))
		if p == "TRAILER!!!" {
			return nil
		}
		e := tree.Entry{Path: p, Mode: uint32(mode & 0o7777), UID: uint32(f[2]), GID: uint32(f[3]), MTime: time.Unix(f[5], 0)}
		var content bytes.Buffer
		keep := min(size, cpioKeep)
		if _, err := io.CopyN(&content, in, keep); err != nil {
			return fmt.Errorf("%w: %w", errCPIO, err)
		}
		if _, err := io.CopyN(io.Discard, in, size-keep); err != nil {
			return fmt.Errorf("%w: %w", errCPIO, err)
		}
		at += int(size)
		// At the very end the padding may be missing.
		if err := pad(); err != nil && err != io.EOF {
			return fmt.Errorf("%w: %w", errCPIO, err)
		}
		const typeMask = 0o170000 // S_IFMT
		switch mode & typeMask {
		case 0o040000:
			e.Type = tree.Dir
		case 0o100000:
			e.Type, e.Size, e.Data = tree.File, size, content.Bytes()
		case 0o120000:
			e.Type, e.Link = tree.Symlink, content.String()
		case 0o020000:
			e.Type, e.Major, e.Minor = tree.Char, uint32(f[9]), uint32(f[10])
		case 0o060000:
			e.Type, e.Major, e.Minor = tree.Block, uint32(f[9]), uint32(f[10])
		case 0o010000:
			e.Type = tree.Fifo
		default:
			continue
		}
		if p == ".." || strings.HasPrefix(p, "../") {
			continue
		}
		entries[p] = e
	}
}
