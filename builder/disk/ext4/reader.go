package ext4

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"cloudy/builder/tree"
)

// ErrCorrupt marks an image that is not a readable ext4 filesystem.
var ErrCorrupt = errors.New("not a sound ext4 filesystem")

// Image is an ext4 filesystem open for reading. It may be one that mke2fs
// made or that was mounted and grown; a journal that waits to be replayed is
// an error. An Image can be used from several goroutines after Tree returned.
type Image struct {
	r   io.ReaderAt
	off int64

	blockSize      int64
	firstBlock     uint64 // 1 with blocks of 1 KiB
	blocks         uint64
	inodes         uint32
	inodesPerGroup uint32
	blocksPerGroup uint32
	inodeSize      int64
	descSize       int64
	metaGroup      uint64 // descriptor blocks from this one on stand in their own groups
	sparse         bool

	UUID  [16]byte
	Label string

	files map[string]uint32 // path of a File -> inode
}

// Features without which a filesystem cannot be read, or that are harmless
// for reading.
const (
	incompatRecover  = 0x4
	incompatMetaBG   = 0x10
	incompatCsumSeed = 0x2000
	incompatLargeDir = 0x4000
	incompatMMP      = 0x100

	incompatReadable = incompatFiletype | incompatMetaBG | incompatExtents | incompat64bit |
		incompatFlexBG | incompatCsumSeed | incompatLargeDir | incompatMMP
)

// Open reads the superblock of the ext4 filesystem at byte off of r. The
// error wraps ErrCorrupt when there is none, and ErrUnsupported when it has
// features (inline data, encryption, a dirty journal) that are not read.
func Open(r io.ReaderAt, off int64) (*Image, error) {
	b := make([]byte, 1024)
	if err := readFull(r, b, off+1024); err != nil {
		return nil, fmt.Errorf("ext4: superblock: %w", err)
	}
	if le.Uint16(b[0x38:]) != 0xef53 {
		return nil, fmt.Errorf("ext4: no superblock: %w", ErrCorrupt)
	}
	incompat := le.Uint32(b[0x60:])
	if incompat&incompatRecover != 0 {
		return nil, fmt.Errorf("ext4: the journal was not replayed (unclean shutdown): %w", ErrUnsupported)
	}
	if more := incompat &^ incompatReadable; more != 0 {
		return nil, fmt.Errorf("ext4: features %#x: %w", more, ErrUnsupported)
	}
	m := &Image{
		r: r, off: off,
		blockSize:      1024 << min(le.Uint32(b[0x18:]), 7),
		firstBlock:     uint64(le.Uint32(b[0x14:])),
		blocks:         uint64(le.Uint32(b[0x04:])),
		inodes:         le.Uint32(b[0x00:]),
		inodesPerGroup: le.Uint32(b[0x28:]),
		blocksPerGroup: le.Uint32(b[0x20:]),
		inodeSize:      128,
		descSize:       32,
		metaGroup:      1 << 63,
		sparse:         le.Uint32(b[0x64:])&roSparseSuper != 0,
		Label:          strings.TrimRight(string(b[0x78:0x88]), "\x00"),
	}
	copy(m.UUID[:], b[0x68:])
	if le.Uint32(b[0x4c:]) > 0 {
		m.inodeSize = int64(le.Uint16(b[0x58:]))
	}
	if incompat&incompat64bit != 0 {
		m.blocks |= uint64(le.Uint32(b[0x150:])) << 32
		m.descSize = int64(le.Uint16(b[0xfe:]))
	}
	if incompat&incompatMetaBG != 0 {
		m.metaGroup = uint64(le.Uint32(b[0x104:]))
	}
	switch {
	case le.Uint32(b[0x18:]) > 6,
		m.inodeSize < 128 || m.inodeSize > m.blockSize || m.inodeSize&(m.inodeSize-1) != 0,
		m.descSize < 32 || m.descSize > m.blockSize || m.descSize&(m.descSize-1) != 0,
		m.inodesPerGroup == 0, m.blocksPerGroup == 0, m.firstBlock > 1,
		m.blocks > 1<<48:
		return nil, fmt.Errorf("ext4: superblock: %w", ErrCorrupt)
	}
	return m, nil
}

func readFull(r io.ReaderAt, b []byte, at int64) error {
	if at < 0 {
		return ErrCorrupt
	}
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// block reads a block into b, which is as large.
func (m *Image) block(b []byte, n uint64) error {
	if n == 0 || n >= m.blocks {
		return fmt.Errorf("block %d: %w", n, ErrCorrupt)
	}
	return readFull(m.r, b, m.off+int64(n)*m.blockSize)
}

// tableBlock returns where the inode table of a group begins.
func (m *Image) tableBlock(group uint32) (uint64, error) {
	per := uint64(m.blockSize / m.descSize)
	block := uint64(group) / per
	at := m.firstBlock + 1 + block
	if block >= m.metaGroup {
		first := block * per
		at = m.firstBlock + first*uint64(m.blocksPerGroup)
		if !m.sparse || hasSuper(first) {
			at++
		}
	}
	d := make([]byte, m.descSize)
	if at >= m.blocks {
		return 0, fmt.Errorf("group %d: %w", group, ErrCorrupt)
	}
	if err := readFull(m.r, d, m.off+int64(at)*m.blockSize+int64(uint64(group)%per)*m.descSize); err != nil {
		return 0, err
	}
	table := uint64(le.Uint32(d[0x08:]))
	if m.descSize >= 64 {
		table |= uint64(le.Uint32(d[0x28:])) << 32
	}
	if table >= m.blocks {
		return 0, fmt.Errorf("group %d: %w", group, ErrCorrupt)
	}
	return table, nil
}

// readInode returns the bytes of an inode.
func (m *Image) readInode(number uint32) ([]byte, error) {
	if number == 0 || number > m.inodes {
		return nil, fmt.Errorf("inode %d: %w", number, ErrCorrupt)
	}
	table, err := m.tableBlock((number - 1) / m.inodesPerGroup)
	if err != nil {
		return nil, err
	}
	b := make([]byte, m.inodeSize)
	at := int64(table)*m.blockSize + int64((number-1)%m.inodesPerGroup)*m.inodeSize
	return b, readFull(m.r, b, m.off+at)
}

// Tree reads all names and inodes. The entries carry no content: File gives
// that. Where an inode has several names, the first one is the File and the
// others are Hardlinks.
func (m *Image) Tree(ctx context.Context) (*tree.Tree, error) {
	w := &walker{m: m, ctx: ctx, blocks: map[uint64]bool{}, numbers: map[string]uint32{}, seen: map[uint32]int{}}
	if err := w.add(".", rootInode, 2); err != nil {
		return nil, fmt.Errorf("ext4: %w", err)
	}
	t := &tree.Tree{Entries: w.out}
	t.Sort()
	m.files = map[string]uint32{}
	first := map[uint32]string{}
	for i := range t.Entries {
		e := &t.Entries[i]
		number := w.numbers[e.Path]
		if i > 0 && e.Path == t.Entries[i-1].Path {
			return nil, fmt.Errorf("ext4: %s: two entries: %w", e.Path, ErrCorrupt)
		}
		if e.Type == tree.Dir {
			continue
		}
		if target, ok := first[number]; ok {
			*e = tree.Entry{Path: e.Path, Type: tree.Hardlink, Mode: e.Mode, UID: e.UID, GID: e.GID, MTime: e.MTime, Link: target}
			continue
		}
		first[number] = e.Path
		if e.Type == tree.File {
			m.files[e.Path] = number
		}
	}
	return t, nil
}

// File returns the content of the regular file at path, which must be the
// Path of a File (not of a Hardlink) that Tree returned.
func (m *Image) File(path string) (*io.SectionReader, error) {
	number, ok := m.files[path]
	if !ok {
		return nil, fmt.Errorf("ext4: %s: not a regular file of the image", path)
	}
	raw, err := m.readInode(number)
	if err != nil {
		return nil, fmt.Errorf("ext4: %s: %w", path, err)
	}
	c, err := m.content(raw)
	if err != nil {
		return nil, fmt.Errorf("ext4: %s: %w", path, err)
	}
	return io.NewSectionReader(c, 0, c.size), nil
}
