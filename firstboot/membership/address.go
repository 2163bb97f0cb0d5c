package membership

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Prefix6 is the mesh's unique local prefix (RFC 4193): fd and 56 bits of a
// hash of the mesh.
func (m Mesh) Prefix6() netip.Prefix {
	sum := sha256.Sum256(fmt.Appendf(nil, "cloudy-ula/1|%s", m.ID))
	var a [16]byte
	a[0] = 0xfd
	copy(a[1:8], sum[:])
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// Address6 is the node's address in Prefix6: 64 bits of a hash of its key.
// Nobody else has it (with 26,600 nodes, at odds of 2e-11), so it is the
// address that the mesh's own traffic uses.
func (m Mesh) Address6(k Key) netip.Addr {
	sum := sha256.Sum256(fmt.Appendf(nil, "cloudy-addr/1|%s|%s", m.ID, k))
	a := m.Prefix6().Addr().As16()
	copy(a[8:], sum[:8])
	return netip.AddrFrom16(a)
}

// Address4 is the node's address in the mesh's IPv4 prefix, by a hash of its
// key and the salt. Two nodes may meet there: with 22 host bits the odds of
// any such pair are 0.02 % among 43 nodes, 11 % among 1,000. The salt is
// raised until the address is free; see roster.Salt.
func (m Mesh) Address4(k Key, salt uint32) netip.Addr {
	p := netip.MustParsePrefix(m.Prefix4) // ParseMesh has seen it
	base := binary.BigEndian.Uint32(p.Addr().AsSlice())
	mask := uint32(1)<<(32-p.Bits()) - 1
	for try := 0; ; try++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "cloudy-addr4/1|%s|%s|%d|%d", m.ID, k, salt, try))
		host := binary.BigEndian.Uint32(sum[:]) & mask
		if host == 0 || host == mask {
			continue // the network's own and the broadcast address
		}
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], base|host)
		return netip.AddrFrom4(a)
	}
}
