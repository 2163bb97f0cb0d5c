package simulate

import (
	"bytes"
	"compress/lzw"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"cloudy/firstboot/membership"
)

// Bytes around the gossip's messages. A packet is: message, checksum
// (memberlist's hasCrcMsg and 4 bytes), encryption (version, nonce and tag of
// AES-GCM), UDP and IPv6; the tunnel's frame around that is tinc's.
const (
	crcBytes      = 5
	cryptoBytes   = 1 + 12 + 16
	udp6Bytes     = 8 + 40
	tcp6Bytes     = 32 + 40 // with time stamps
	compoundEach  = 2       // memberlist's compoundOverhead
	compoundBytes = 2
	udpBuffer     = 1180 // gossip.Profile's UDPBufferSize

	// A frame in the tunnel: Ethernet (14), tinc's sequence number (4), the
	// padding of CBC (8 on average), its MAC (16), and UDP and IPv4 (28).
	tunnelBytes = 14 + 4 + 8 + 16 + 28

	// tinc's own datagrams, for each pair of members that ever spoke to each
	// other, in bytes a second of each of the two. tinc 1.0.36 (net_packet.c,
	// send_mtu_probe) sends three probes of the path's full MTU after each
	// PingInterval and PingTimeout, 15 seconds with the agent's settings, and
	// answers those of the other.
	probeBytes = 6 * 1500 / 15.0

	// A link costs in addition a PING and a PONG each way in PingInterval, and
	// the agent's question whether it is deaf: a TCP connection on the overlay
	// in 4 seconds, of 7 packets.
	metaBytes = 4 * (54 + 52) / 10.0
	linkBytes = 7 * (75 + tunnelBytes) / 4.0

	segment = 1428 // payload of a TCP segment over the overlay

	// A request of the agent: the handshakes of TCP and TLS 1.3 with a
	// certificate on both sides, headers of HTTP, and the goodbye; and one
	// more in the same connection. Measured with TestFetchCost, both
	// directions together, without the record.
	fetchPackets = 15
	fetchBytes   = 2800
	againPackets = 2
	againBytes   = 400
)

// sizes are the lengths of the messages that the agent's gossip sends, in
// bytes, made by the encoder that it uses out of values of the right form.
type sizes struct {
	ping, ack, alive, suspect, dead, intent int
	record, services                        int // JSON of a fetch's answer

	state func(n int) int // of a push/pull's one direction, compressed, for n known members
}

// The messages' fields, as memberlist and Serf have them.
type (
	pingMsg struct {
		SeqNo      uint32
		Node       string
		SourceAddr []byte `codec:",omitempty"`
		SourcePort uint16 `codec:",omitempty"`
		SourceNode string `codec:",omitempty"`
	}
	ackMsg struct {
		SeqNo   uint32
		Payload []byte
	}
	coordinate struct {
		Vec                       []float64
		Error, Adjustment, Height float64
	}
	aliveMsg struct {
		Incarnation uint32
		Node        string
		Addr        []byte
		Port        uint16
		Meta        []byte
		Vsn         []uint8
	}
	suspectMsg struct {
		Incarnation uint32
		Node, From  string
	}
	nodeState struct {
		Name        string
		Addr        []byte
		Port        uint16
		Meta        []byte
		Incarnation uint32
		State       int
		Vsn         []uint8
	}
	intentMsg struct {
		LTime uint64
		Node  string
	}
	pushPullMsg struct {
		LTime        uint64
		StatusLTimes map[string]uint64
		LeftMembers  []string
		EventLTime   uint64
		Events       []any
		QueryLTime   uint64
	}
)

func encode(v any) []byte {
	var buf bytes.Buffer
	buf.WriteByte(0) // the message's type
	h := codec.MsgpackHandle{}
	h.Canonical = true // the order of a map, so that the same comes out each time
	if err := codec.NewEncoder(&buf, &h).Encode(v); err != nil {
		panic(fmt.Sprintf("simulate: encode %T: %v", v, err))
	}
	return buf.Bytes()
}

// compressed is the length that memberlist sends: it compresses with LZW and
// takes the shorter one.
func compressed(raw []byte) int {
	var buf bytes.Buffer
	w := lzw.NewWriter(&buf, lzw.LSB, 8)
	w.Write(raw)
	w.Close()
	return min(buf.Len()+12, len(raw))
}

// person is a made-up member: its name, address and tags have the right form.
type person struct {
	name string
	addr []byte
	meta []byte
}

func newPerson(r *rand.Rand) person {
	raw := make([]byte, 32)
	text := func() string {
		for i := range raw {
			raw[i] = byte(r.Uint32())
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	p := person{name: fmt.Sprintf("c%012x", r.Uint64()>>16), addr: make([]byte, 16)}
	for i := 8; i < 16; i++ {
		p.addr[i] = byte(r.Uint32())
	}
	p.addr[0] = 0xfd
	// Serf's tags: a magic byte and the map of gossip.Tags. No revocation yet.
	p.meta = append([]byte{255}, encode(map[string]string{"n": text()[:16], "s": text()[:16], "r": "", "k": "1." + text()[:12]})[1:]...)
	return p
}

// newSizes makes a message of each kind and measures it.
func newSizes() sizes {
	r := rand.New(rand.NewPCG(1, 2))
	p, q := newPerson(r), newPerson(r)
	vsn := []uint8{1, 5, 2, 2, 5, 4}
	var coord bytes.Buffer
	coord.WriteByte(1)
	vec := make([]float64, 8)
	for i := range vec {
		vec[i] = r.Float64() / 100
	}
	coord.Write(encode(coordinate{vec, 0.3, 0.001, 0.0001})[1:])
	s := sizes{
		ping:    len(encode(pingMsg{1000, p.name, q.addr, 7946, q.name})),
		ack:     len(encode(ackMsg{1000, coord.Bytes()})),
		alive:   len(encode(aliveMsg{2, p.name, p.addr, 7946, p.meta, vsn})),
		suspect: len(encode(suspectMsg{2, p.name, q.name})),
		dead:    len(encode(suspectMsg{2, p.name, q.name})),
		intent:  len(encode(intentMsg{300, p.name})) + 1,
	}
	// The state of a push/pull grows with the members. Its length is
	// measured for some numbers of them, and is a line between.
	marks := []int{1, 16, 64, 256, 1024}
	var lens []int
	for _, n := range marks {
		var raw []byte
		status := map[string]uint64{}
		for range n {
			x := newPerson(r)
			raw = append(raw, encode(nodeState{x.name, x.addr, 7946, x.meta, 2, 0, vsn})[1:]...)
			status[x.name] = 1 + r.Uint64N(uint64(n)+1)
		}
		raw = append(raw, encode(pushPullMsg{LTime: uint64(n), StatusLTimes: status})...)
		lens = append(lens, compressed(raw)+cryptoBytes+5)
	}
	s.state = func(n int) int {
		n = max(n, 1)
		i := 1
		for i < len(marks)-1 && n > marks[i] {
			i++
		}
		lo, hi := marks[i-1], marks[i]
		return lens[i-1] + (lens[i]-lens[i-1])*(n-lo)/(hi-lo)
	}
	c := newCommunity(1, 3)
	s.record, s.services = c.answerSizes()
	return s
}

// answerSizes are the lengths of a member's record and of its services, with
// three services, as the endpoint sends them.
func (c *community) answerSizes() (record, services int) {
	rec, _ := json.Marshal(c.records[len(c.records)-1])
	list := membership.Services{Mesh: c.mesh.ID, Seq: 3}
	for i := range 3 {
		list.List = append(list.List, membership.Service{
			Name: fmt.Sprintf("Service %d", i), Type: "_syncthing._tcp", Port: 22000,
			TXT: map[string]string{"node_id": base64.RawURLEncoding.EncodeToString(make([]byte, 42))},
		})
	}
	signed, err := membership.SignServices(ed25519.NewKeyFromSeed(make([]byte, 32)), list)
	if err != nil {
		panic("simulate: " + err.Error())
	}
	svc, _ := json.Marshal(signed)
	return len(rec), len(svc)
}

// packet is what a gossip packet of one or more messages is on the overlay.
func packet(messages int, bytes int) int {
	if messages > 1 {
		bytes += compoundBytes + compoundEach*messages
	}
	return bytes + crcBytes + cryptoBytes + udp6Bytes
}

// stream is a TCP conversation's packets and bytes on the overlay.
func stream(payload int) (packets, bytes int) {
	data := (payload + segment - 1) / segment
	packets = data + (data+1)/2 + 7 // acknowledgements, SYN and FIN
	return packets, payload + packets*tcp6Bytes
}
