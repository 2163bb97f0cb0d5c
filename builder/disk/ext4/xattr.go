package ext4

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"cloudy/builder/tree"
)

const (
	xattrMagic  = 0xea020000
	extraSize   = 32                          // i_extra_isize: up to and with i_projid
	inlineXattr = inodeSize - 128 - extraSize // room behind the fields of the inode
	xattrHeader = 32                          // of an attribute block
	xattrEntry  = 16                          // without the name
	aclVersion  = 2                           // of the value that the kernel shows to programs
	aclOnDisk   = 1                           // of the value on disk
)

// xattrPrefixes are the name indexes of fs/ext4/xattr.h. The ACLs stand for
// themselves: nothing of their name is stored.
var xattrPrefixes = []struct {
	prefix string
	index  byte
}{
	{"system.posix_acl_access", 2},
	{"system.posix_acl_default", 3},
	{"user.", 1},
	{"trusted.", 4},
	{"security.", 6},
	{"system.", 7},
}

type xattr struct {
	index byte
	name  string // without the prefix
	value []byte
}

// size is the room that the attribute takes: entry and value.
func (x *xattr) size() int { return xattrEntry + pad4(len(x.name)) + pad4(len(x.value)) }

func pad4(n int) int { return (n + 3) &^ 3 }

// xattrs are the encoded attributes of an inode; either part may be nil. The
// checksum of the block is still missing, since it depends on where it goes.
type xattrs struct{ inline, block []byte }

// encodeXattrs puts what fits into the inode, in order, and the rest into one
// block.
func encodeXattrs(e *tree.Entry) (xattrs, error) {
	if len(e.Xattrs) == 0 || e.Type == tree.Hardlink {
		return xattrs{}, nil
	}
	var inline, block []xattr
	inlineRoom := inlineXattr - 4 - 4 // the magic and the final zero
	blockRoom := BlockSize - xattrHeader - 4
	for _, x := range e.Xattrs {
		a, err := splitXattr(x)
		if err != nil {
			return xattrs{}, err
		}
		if n := a.size(); n <= inlineRoom {
			inline = append(inline, a)
			inlineRoom -= n
		} else {
			block = append(block, a)
			blockRoom -= n
		}
	}
	if blockRoom < 0 {
		return xattrs{}, fmt.Errorf("extended attributes are %d bytes larger than a block: %w", -blockRoom, ErrUnsupported)
	}
	var out xattrs
	if inline != nil {
		out.inline = make([]byte, inlineXattr)
		le.PutUint32(out.inline, xattrMagic)
		putXattrs(out.inline[4:], 0, inline)
	}
	if block != nil {
		// The kernel looks names up in a block in this order.
		slices.SortFunc(block, func(a, b xattr) int {
			if a.index != b.index {
				return int(a.index) - int(b.index)
			}
			if len(a.name) != len(b.name) {
				return len(a.name) - len(b.name)
			}
			return strings.Compare(a.name, b.name)
		})
		out.block = make([]byte, BlockSize)
		le.PutUint32(out.block, xattrMagic)
		le.PutUint32(out.block[4:], 1) // one inode refers to it
		le.PutUint32(out.block[8:], 1) // one block
		le.PutUint32(out.block[12:], putXattrs(out.block, xattrHeader, block))
	}
	return out, nil
}

// finishXattrBlock adds the checksum (ext4_xattr_block_csum).
func finishXattrBlock(b []byte, at uint64, seed uint32) {
	sum := checksum(seed, le.AppendUint64(nil, at))
	le.PutUint32(b[16:], checksum(sum, b))
}

// putXattrs writes entries from byte at of b on, and their values from the
// end of b down. Offsets of values count from the start of b. It returns the
// hash over all entries, for the header of a block.
func putXattrs(b []byte, at int, list []xattr) uint32 {
	end := len(b)
	var all uint32
	for _, x := range list {
		end -= pad4(len(x.value))
		copy(b[end:], x.value)
		b[at] = byte(len(x.name))
		b[at+1] = x.index
		if len(x.value) > 0 {
			le.PutUint16(b[at+2:], uint16(end))
		}
		le.PutUint32(b[at+8:], uint32(len(x.value)))
		hash := xattrHash(x.name, b[end:end+pad4(len(x.value))])
		le.PutUint32(b[at+12:], hash)
		copy(b[at+xattrEntry:], x.name)
		at += xattrEntry + pad4(len(x.name))
		all = all<<16 ^ all>>16 ^ hash
	}
	return all
}

// xattrHash is ext4_xattr_hash_entry; value is padded to whole words.
func xattrHash(name string, value []byte) uint32 {
	var h uint32
	for i := range len(name) {
		h = h<<5 ^ h>>27 ^ uint32(name[i])
	}
	for ; len(value) > 0; value = value[4:] {
		h = h<<16 ^ h>>16 ^ le.Uint32(value)
	}
	return h
}

// splitXattr replaces the prefix of a name by its index.
func splitXattr(x tree.Xattr) (xattr, error) {
	for _, p := range xattrPrefixes {
		name, ok := strings.CutPrefix(x.Name, p.prefix)
		if !ok {
			continue
		}
		acl := p.index == 2 || p.index == 3
		if (name == "") != acl || len(name) > maxName {
			break
		}
		a := xattr{p.index, name, x.Value}
		if acl {
			var err error
			if a.value, err = encodeACL(x.Value); err != nil {
				return a, fmt.Errorf("attribute %s: %w", x.Name, err)
			}
		}
		return a, nil
	}
	return xattr{}, fmt.Errorf("attribute %q: %w", x.Name, ErrUnsupported)
}

// Tags of ACL entries that name a user or a group.
const (
	aclUser  = 0x02
	aclGroup = 0x08
)

// encodeACL turns an ACL as programs see it (posix_acl_xattr_entry: every
// entry has an id) into that on disk (ext4_acl_entry_short: only those have
// one that need it).
func encodeACL(v []byte) ([]byte, error) {
	if len(v) < 4 || (len(v)-4)%8 != 0 || le.Uint32(v) != aclVersion {
		return nil, fmt.Errorf("not a POSIX ACL of version %d: %w", aclVersion, ErrUnsupported)
	}
	out := binary.LittleEndian.AppendUint32(nil, aclOnDisk)
	for v = v[4:]; len(v) > 0; v = v[8:] {
		n := 4
		if tag := le.Uint16(v); tag == aclUser || tag == aclGroup {
			n = 8
		}
		out = append(out, v[:n]...)
	}
	return out, nil
}
