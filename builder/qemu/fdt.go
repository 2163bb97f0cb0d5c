package qemu

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// Tokens of a flattened device tree (Devicetree Specification 0.4, 5.4.1).
const (
	fdtMagic = 0xd00dfeed
	fdtBegin = 1
	fdtProp  = 3
)

// fdtHeader is the header (5.2); its fields are big-endian.
type fdtHeader struct {
	Magic, Size, Struct, Strings, Reserved, Version, Compatible, BootCPU, StringsSize, StructSize uint32
}

var errFDT = errors.New("no device tree with a node /chosen")

// chosenProperty adds a property to the node /chosen of a device tree, where
// firmware tells the kernel what it knows (3.6).
func chosenProperty(dtb []byte, name string, value []byte) ([]byte, error) {
	var h fdtHeader
	if err := binary.Read(bytes.NewReader(dtb), binary.BigEndian, &h); err != nil || h.Magic != fdtMagic {
		return nil, errFDT
	}
	part := func(at, size uint32) []byte {
		if uint64(at)+uint64(size) > uint64(len(dtb)) {
			return nil
		}
		return dtb[at : at+size]
	}
	tree, names := part(h.Struct, h.StructSize), part(h.Strings, h.StringsSize)
	// A node begins with its token and its name, padded to whole words.
	begin := append(binary.BigEndian.AppendUint32(nil, fdtBegin), "chosen\x00\x00"...)
	at := bytes.Index(tree, begin) + len(begin)
	if at < len(begin) || h.Struct < h.Reserved || names == nil || (at-len(begin))%4 != 0 {
		return nil, errFDT
	}
	prop := binary.BigEndian.AppendUint32(nil, fdtProp)
	prop = binary.BigEndian.AppendUint32(prop, uint32(len(value)))
	prop = binary.BigEndian.AppendUint32(prop, uint32(len(names)))
	prop = append(prop, value...)
	prop = append(prop, make([]byte, -len(prop)&3)...)

	// The list of reserved memory stands in front of both and stays: it ends
	// where the first of them begins.
	head := part(0, min(h.Struct, h.Strings))
	out := append(bytes.Clone(head), tree[:at]...)
	out = append(append(out, prop...), tree[at:]...)
	h.Struct, h.StructSize = uint32(len(head)), h.StructSize+uint32(len(prop))
	h.Strings = uint32(len(out))
	out = append(append(append(out, names...), name...), 0)
	h.StringsSize += uint32(len(name)) + 1
	h.Size = uint32(len(out))
	var b bytes.Buffer
	if err := binary.Write(&b, binary.BigEndian, &h); err != nil {
		return nil, err
	}
	copy(out, b.Bytes())
	return out, nil
}
