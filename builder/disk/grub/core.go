package grub

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/ulikunitz/xz/lzma"
)

// Numbers of include/grub/kernel.h and include/grub/offsets.h.
const (
	linkAddr    = 0x9000 // GRUB_KERNEL_I386_PC_LINK_ADDR
	decompAddr  = 0x8200 // where diskboot.img loads the decompressor
	maxCore     = 0x78000 - linkAddr
	maxKernel   = 0x68000 - linkAddr
	moduleMagic = 0x676d696d // "mimg"
	infoSize    = 12         // struct grub_module_info32

	objELF    = 0 // OBJ_TYPE_ELF
	objConfig = 2 // OBJ_TYPE_CONFIG
	objPrefix = 3 // OBJ_TYPE_PREFIX

	decompCompressed   = 0x08 // GRUB_DECOMPRESSOR_I386_PC_COMPRESSED_SIZE
	decompUncompressed = 0x0c // GRUB_DECOMPRESSOR_I386_PC_UNCOMPRESSED_SIZE

	lzmaDict   = 1 << 16 // as grub-mkimage
	lzmaHeader = 13      // of the .lzma file format, which a core image has not
)

// link makes what the decompressor unpacks to linkAddr: the kernel, and
// behind it the modules, the configuration and the prefix.
func link(files Files, o Options) ([]byte, error) {
	moddep, err := files("moddep.lst")
	if err != nil {
		return nil, fmt.Errorf("grub moddep.lst: %w", err)
	}
	names, err := closure(moddep, o.Modules)
	if err != nil {
		return nil, err
	}
	img, err := files("kernel.img")
	if err != nil {
		return nil, fmt.Errorf("grub kernel.img: %w", err)
	}
	kernel, bss, err := flatten(img)
	if err != nil {
		return nil, fmt.Errorf("grub kernel.img: %w", err)
	}
	if len(kernel)+bss > maxKernel {
		return nil, fmt.Errorf("%w: the kernel takes %d bytes of memory, at most %d", ErrTooBig, len(kernel)+bss, maxKernel)
	}
	var objs bytes.Buffer
	for _, name := range names {
		mod, err := files(name + ".mod")
		if err != nil {
			return nil, fmt.Errorf("grub module %s: %w", name, err)
		}
		object(&objs, objELF, mod)
	}
	if o.Config != "" {
		object(&objs, objConfig, append([]byte(o.Config), 0))
	}
	if o.Prefix != "" {
		object(&objs, objPrefix, append([]byte(o.Prefix), 0))
	}
	le := binary.LittleEndian
	out := kernel
	out = le.AppendUint32(out, moduleMagic)
	out = le.AppendUint32(out, infoSize)
	out = le.AppendUint32(out, uint32(infoSize+objs.Len()))
	return append(out, objs.Bytes()...), nil
}

// object appends a struct grub_module_header and its data, padded to the
// size of a pointer.
func object(b *bytes.Buffer, kind uint32, data []byte) {
	size := (len(data) + 3) &^ 3
	var h [8]byte
	binary.LittleEndian.PutUint32(h[0:], kind)
	binary.LittleEndian.PutUint32(h[4:], uint32(size+len(h)))
	b.Write(h[:])
	b.Write(data)
	b.Write(make([]byte, size-len(data)))
}

// closure returns the modules with all that they depend on, each behind its
// dependencies, in the order of grub-mkimage (util/resolve.c keeps the words
// of a line in reverse).
func closure(moddep []byte, modules []string) ([]string, error) {
	deps := map[string][]string{}
	for line := range strings.Lines(string(moddep)) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok {
			deps[name] = strings.Fields(rest)
		}
	}
	var out []string
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		if seen[name] {
			return nil
		}
		list, ok := deps[name]
		if !ok {
			return fmt.Errorf("grub has no module %q", name)
		}
		seen[name] = true
		for i := len(list) - 1; i >= 0; i-- {
			if err := add(list[i]); err != nil {
				return err
			}
		}
		out = append(out, name)
		return nil
	}
	for _, name := range modules {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// flatten turns the ELF kernel into the bytes at linkAddr up to the end of
// its data, and the size of the bss behind it. GRUB's start-up code looks for
// the module info right behind the data and clears the bss itself.
func flatten(img []byte) (flat []byte, bss int, err error) {
	f, err := elf.NewFile(bytes.NewReader(img))
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	if f.Machine != elf.EM_386 || f.Entry != linkAddr {
		return nil, 0, fmt.Errorf("want an i386 program at %#x, not %v at %#x", linkAddr, f.Machine, f.Entry)
	}
	end := uint64(linkAddr)
	for _, s := range f.Sections {
		if s.Flags&elf.SHF_ALLOC == 0 || s.Size == 0 {
			continue
		}
		if s.Addr < linkAddr || s.Addr+s.Size > linkAddr+maxKernel {
			return nil, 0, fmt.Errorf("section %s at %#x is out of range", s.Name, s.Addr)
		}
		if s.Type == elf.SHT_NOBITS {
			bss = max(bss, int(s.Addr+s.Size-linkAddr))
			continue
		}
		data, err := s.Data()
		if err != nil {
			return nil, 0, fmt.Errorf("section %s: %w", s.Name, err)
		}
		if s.Addr < end {
			return nil, 0, fmt.Errorf("section %s at %#x overlaps the one before", s.Name, s.Addr)
		}
		flat = append(flat, make([]byte, s.Addr-end)...)
		flat = append(flat, data...)
		end = s.Addr + s.Size
	}
	if len(flat) == 0 {
		return nil, 0, errors.New("no sections")
	}
	return flat, max(0, bss-len(flat)), nil
}

// wrap compresses the payload and puts the decompressor and the loader's
// sector before it. The result is a whole number of sectors.
func wrap(files Files, payload []byte) ([]byte, error) {
	disk, err := files("diskboot.img")
	if err != nil {
		return nil, fmt.Errorf("grub diskboot.img: %w", err)
	}
	if len(disk) != sector || binary.LittleEndian.Uint16(disk[blockSeg:]) != blockSegWant {
		return nil, errors.New("grub diskboot.img: not the loader that this code knows")
	}
	decomp, err := files("lzma_decompress.img")
	if err != nil {
		return nil, fmt.Errorf("grub lzma_decompress.img: %w", err)
	}
	if len(decomp) < decompUncompressed+4 || len(decomp) > linkAddr-decompAddr {
		return nil, fmt.Errorf("grub lzma_decompress.img: %d bytes, at most %d", len(decomp), linkAddr-decompAddr)
	}
	packed, err := compress(payload)
	if err != nil {
		return nil, fmt.Errorf("compress grub's core: %w", err)
	}
	core := make([]byte, 0, len(disk)+len(decomp)+len(packed)+sector)
	core = append(core, disk...)
	core = append(core, decomp...)
	core = append(core, packed...)
	if size := len(decomp) + len(packed); size > maxCore {
		return nil, fmt.Errorf("%w: core.img has %d bytes, at most %d", ErrTooBig, size, maxCore)
	}
	core = append(core, make([]byte, -len(core)&(sector-1))...)
	le := binary.LittleEndian
	le.PutUint32(core[sector+decompCompressed:], uint32(len(packed)))
	le.PutUint32(core[sector+decompUncompressed:], uint32(len(payload)))
	le.PutUint16(core[blockLen:], uint16(len(core)/sector-1))
	return core, nil
}

// compress returns the bare LZMA stream that GRUB's decoder reads: no header,
// no end marker, lc=3 lp=0 pb=2, which are fixed in its code.
func compress(payload []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := lzma.WriterConfig{
		Properties:   &lzma.Properties{LC: 3, LP: 0, PB: 2},
		DictCap:      lzmaDict,
		Matcher:      lzma.HashTable4,
		Size:         int64(len(payload)),
		SizeInHeader: true,
	}.NewWriter(&b)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(payload); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes()[lzmaHeader:], nil
}
