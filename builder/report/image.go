package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"cloudy/builder/disk/gpt"
	"cloudy/builder/disk/qcow2"
	"cloudy/builder/disk/vhdx"
	"cloudy/builder/disk/vmdk"
	"cloudy/builder/tree"
)

// Image is what a file or folder turns out to be. Sizes are in bytes.
type Image struct {
	Path        string      `json:"path"`
	Format      string      `json:"format"`                // qcow2, disk, filesystem, tar, oci, cpio, folder, vmdk, ...
	Compression []string    `json:"compression,omitempty"` // around the format, the outermost first
	Size        int64       `json:"size"`                  // of the file
	DiskSize    int64       `json:"disk_size,omitempty"`   // of the disk or filesystem inside
	Table       *Table      `json:"table,omitempty"`
	Filesystem  *Filesystem `json:"filesystem,omitempty"` // where there is no table
	Platforms   []Platform  `json:"platforms,omitempty"`  // of an OCI image
	Contents    *Contents   `json:"contents,omitempty"`   // of archives and folders
}

// Table is a partition table.
type Table struct {
	Kind       string      `json:"kind"` // gpt or mbr
	ID         string      `json:"id"`
	Problem    string      `json:"problem,omitempty"`
	Partitions []Partition `json:"partitions"`
}

// Partition is an entry of a partition table.
type Partition struct {
	Number     int         `json:"number"`
	Name       string      `json:"name,omitempty"`
	Type       string      `json:"type"` // a name where it is known, else the id
	UUID       string      `json:"uuid,omitempty"`
	Start      int64       `json:"start"`
	Size       int64       `json:"size"`
	Filesystem *Filesystem `json:"filesystem,omitempty"`
}

// Filesystem is what a superblock says.
type Filesystem struct {
	Type     string    `json:"type"` // as blkid(8) names it
	Label    string    `json:"label,omitempty"`
	UUID     string    `json:"uuid,omitempty"`
	Size     int64     `json:"size,omitempty"`
	Used     int64     `json:"used,omitempty"` // 0 when nobody knows
	Problem  string    `json:"problem,omitempty"`
	Contents *Contents `json:"contents,omitempty"` // where it could be read

	// Inside are filesystems in files of this one, such as the root of a live
	// medium.
	Inside []Inner `json:"inside,omitempty"`
}

// Inner is a file with a filesystem in it.
type Inner struct {
	Path       string      `json:"path"`
	Filesystem *Filesystem `json:"filesystem"`
}

// Contents sums up the files of a filesystem or archive.
type Contents struct {
	Release  Release `json:"release,omitzero"`
	Packages int     `json:"packages"`
	Files    int     `json:"files"` // entries of all types
	Size     int64   `json:"size"`  // of all files
}

// Platform is one image of an OCI index.
type Platform struct {
	Name     string    `json:"name"` // os/architecture/variant
	Digest   string    `json:"digest"`
	Layers   int       `json:"layers"`
	Size     int64     `json:"size"` // of the compressed layers
	Contents *Contents `json:"contents,omitempty"`
}

// ErrNoRoot means that an image holds no root filesystem that could be read.
var ErrNoRoot = errors.New("no root filesystem found that can be read")

// Opened is an image that can be read. Close it: it holds files and a folder
// of temporary ones.
type Opened struct {
	Image
	roots   []*Root
	closers []io.Closer
	spool   string
}

// OpenOptions says where to work and what to look for.
type OpenOptions struct {
	TempDir string // for what has to be unpacked; "" is the system's
	Arch    string // Debian architecture: which platform of an OCI index to read; "" is the first
}

// Open finds out what the file or folder at path is, by its content, and
// reads as much of it as it knows how to. What it cannot make sense of comes
// back with the format "unknown" and no error.
func Open(ctx context.Context, path string, opts OpenOptions) (*Opened, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	spool, err := os.MkdirTemp(opts.TempDir, "cloudy-*")
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	o := &Opened{Image: Image{Path: path, Size: info.Size()}, spool: spool}
	if info.IsDir() {
		err = o.openFolder(ctx, opts)
	} else {
		err = o.openFile(ctx, opts)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), o.Close())
	}
	return o, nil
}

// Close removes what Open unpacked. The roots cannot be read any more.
func (o *Opened) Close() error {
	var errs []error
	for _, c := range o.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(o.spool))...)
}

// Root returns the root filesystem in the image: the first one that says what
// it is or that has packages, else the first one at all, else ErrNoRoot.
func (o *Opened) Root() (*Root, error) {
	for _, r := range o.roots {
		if r.Find("usr/lib/os-release") != nil || r.Find("etc/os-release") != nil || r.Find(statusFile) != nil {
			return r, nil
		}
	}
	if len(o.roots) > 0 {
		return o.roots[0], nil
	}
	return nil, fmt.Errorf("%s: %w", o.Path, ErrNoRoot)
}

// add keeps a root and sums it up.
func (o *Opened) add(r *Root) (*Contents, error) {
	o.roots = append(o.roots, r)
	packages, err := packagesIfAny(r)
	if err != nil {
		return nil, err
	}
	return &Contents{Release: ReleaseOf(r), Packages: len(packages), Files: len(r.Entries), Size: r.Size()}, nil
}

func (o *Opened) openFile(ctx context.Context, opts OpenOptions) error {
	f, err := os.Open(o.Path)
	if err != nil {
		return err
	}
	o.closers = append(o.closers, f)
	if o.Size, err = sizeOf(f); err != nil {
		return err
	}
	for {
		kind, err := Detect(f, o.Size)
		if err != nil {
			return err
		}
		switch {
		case Compressed(kind):
			o.Compression = append(o.Compression, kind)
			inner, done, err := o.unwrap(ctx, f, kind, opts)
			if err != nil || done {
				return err
			}
			f = inner
			continue
		case kind == "tar":
			return o.openTar(ctx, f, opts)
		case kind == "cpio":
			return o.openCPIO(ctx, f)
		}
		size, err := sizeOf(f)
		if err != nil {
			return err
		}
		return o.openDisk(ctx, f, size, kind)
	}
}

// sizeOf is the size of a file or of a block device, such as a card.
func sizeOf(f *os.File) (int64, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	_, err = f.Seek(0, io.SeekStart)
	return size, err
}

func (o *Opened) openDisk(ctx context.Context, f *os.File, size int64, kind string) error {
	var disk io.ReaderAt = f
	o.Format = kind
	switch kind {
	case "qcow2":
		q, err := qcow2.Open(f)
		if err != nil {
			return err
		}
		disk, size = q, q.Size()
	case "vmdk":
		v, err := vmdk.Open(f, size)
		if errors.Is(err, vmdk.ErrInvalid) {
			return nil // another kind of vmdk: named, not read
		}
		if err != nil {
			return err
		}
		disk, size = v, v.Size()
	case "vhdx":
		v, err := vhdx.Open(f)
		if errors.Is(err, vhdx.ErrInvalid) {
			return nil // one with a log or a parent: named, not read
		}
		if err != nil {
			return err
		}
		disk, size = v, v.Size()
	case "vhd":
		return nil // named, not read
	}
	table, err := readTable(disk, size)
	if err != nil {
		return err
	}
	if table != nil {
		if kind == "raw" {
			o.Format = "disk"
		}
		o.Table, o.DiskSize = table, size
		for i := range table.Partitions {
			p := &table.Partitions[i]
			if p.Filesystem, err = o.filesystem(ctx, disk, p.Start, p.Size); err != nil {
				return err
			}
		}
	}
	// A hybrid ISO has a partition table and a filesystem of its own.
	if table == nil || kind == "iso9660" {
		if o.Filesystem, err = o.filesystem(ctx, disk, 0, size); err != nil {
			return err
		}
		if o.DiskSize = size; kind == "raw" {
			if o.Format = "filesystem"; o.Filesystem == nil {
				o.Format = "unknown"
			}
		}
	}
	return nil
}

// readTable reads a partition table; nil when there is none.
func readTable(disk io.ReaderAt, size int64) (*Table, error) {
	sector := make([]byte, 1024)
	if n, err := disk.ReadAt(sector, 0); err != nil && err != io.EOF {
		return nil, err
	} else if n < len(sector) {
		return nil, nil
	}
	if string(sector[512:520]) == "EFI PART" {
		t, err := gpt.Read(disk, size)
		if err != nil {
			return &Table{Kind: "gpt", Problem: err.Error(), Partitions: []Partition{}}, nil
		}
		table := &Table{Kind: "gpt", ID: t.GUID.String(), Partitions: []Partition{}}
		for _, p := range t.Partitions {
			table.Partitions = append(table.Partitions, Partition{
				Number: p.Number, Name: p.Name, Type: gptTypeName(p.Type.String()), UUID: p.GUID.String(), Start: p.Start, Size: p.Size,
			})
		}
		return table, nil
	}
	return readMBR(sector[:512], size), nil
}

// tarRoot is the root in an archive's tree: the whole, or what is below
// "rootfs" in the archives of Incus and LXD.
func tarRoot(t *tree.Tree) *Root {
	r := RootOf(t)
	sub := r.Find("rootfs")
	if sub == nil || sub.Type != tree.Dir || r.Find("metadata.yaml") == nil {
		return r
	}
	return subRoot(r, "rootfs")
}
