// Package gossip is who lives in the mesh and what is new there: HashiCorp's
// Serf on the overlay addresses, encrypted, with its timing for wide-area
// networks. It carries digests only (a tag set of at most 512 bytes for each
// node); the records themselves are signed and fetched from their owners.
package gossip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"cloudy/firstboot/membership"
)

// Tags are what a node tells with each heartbeat.
type Tags struct {
	Node        string // digest of its record
	Services    string // digest of its services, empty for none
	Revocations string // digest of the revocations that it knows
	Keys        string // GossipKeys.Tag of the keys that it has
}

func (t Tags) wire() map[string]string {
	return map[string]string{"n": t.Node, "s": t.Services, "r": t.Revocations, "k": t.Keys}
}

// Peer is one node as the gossip sees it.
type Peer struct {
	Name  membership.Name
	Addr  netip.Addr
	Alive bool
	Tags  Tags
}

// Config starts a node's gossip.
type Config struct {
	Name    membership.Name
	Bind    netip.Addr // the node's overlay address
	Port    int        // TCP and UDP
	Keys    membership.GossipKeys
	Tags    Tags
	Log     io.Writer
	Changed func() // called after anything changed; must return at once
}

// Node is a running gossip.
type Node struct {
	serf *serf.Serf
	ring *memberlist.Keyring
	port int
	tags Tags
	news chan struct{} // something is, or may be, new: see catchUp
	done chan struct{}

	stale atomic.Bool // peers is; set without a lock, for Serf holds its own while it tells
	mu    sync.Mutex
	peers []Peer
}

// Profile is the timing of the gossip: memberlist's for wide-area networks, but
// for the interval at which a node passes on what is new. A node that has
// nothing to pass on sends nothing then, so a shorter one costs nothing but
// while much is new, and there the default keeps the news waiting.
func Profile() *memberlist.Config {
	m := memberlist.DefaultWANConfig()
	m.GossipInterval = 200 * time.Millisecond
	// 1280 is the least that IPv6 carries; tinc's headers come on top.
	m.UDPBufferSize = 1180
	return m
}

// Start binds and starts. The address must be there already.
func Start(c Config) (*Node, error) { return start(c, Profile()) }

func start(c Config, m *memberlist.Config) (*Node, error) {
	if err := c.Keys.Check(); err != nil {
		return nil, err
	}
	ring, err := memberlist.NewKeyring(c.Keys.Keys, c.Keys.Keys[0])
	if err != nil {
		return nil, fmt.Errorf("gossip: keys: %w", err)
	}
	events := make(chan serf.Event, 256)
	conf := serf.DefaultConfig()
	conf.Init()
	conf.NodeName = string(c.Name)
	conf.Tags = c.Tags.wire()
	conf.EventCh = events
	conf.Logger = log.New(c.Log, "", 0)
	// A clone would make the others vote; who is right is decided by
	// keys, not by votes.
	conf.EnableNameConflictResolution = false
	conf.MemberlistConfig = m
	m.BindAddr, m.BindPort = c.Bind.String(), c.Port
	m.AdvertiseAddr, m.AdvertisePort = c.Bind.String(), c.Port
	m.Keyring = ring
	m.Logger = conf.Logger
	s, err := serf.Create(conf)
	if err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	n := &Node{serf: s, ring: ring, port: c.Port, tags: c.Tags, news: make(chan struct{}, 1), done: make(chan struct{})}
	n.stale.Store(true)
	go func() {
		for {
			select {
			case e := <-events:
				n.stale.Store(true)
				if _, ok := e.(serf.MemberEvent); ok {
					n.CatchUp()
				}
				c.Changed()
			case <-n.done:
				return
			}
		}
	}()
	go n.catchUp()
	return n, nil
}

// Join meets the gossip at the addresses; one that answers is enough. It
// returns how many answered.
func (n *Node) Join(addrs []netip.Addr) (int, error) {
	var list []string
	for _, a := range addrs {
		list = append(list, netip.AddrPortFrom(a, uint16(n.port)).String())
	}
	return n.serf.Join(list, true)
}

// SetTags tells the others what changed here.
func (n *Node) SetTags(t Tags) error {
	if t == n.tags {
		return nil
	}
	if err := n.serf.SetTags(t.wire()); err != nil {
		return fmt.Errorf("gossip: tags: %w", err)
	}
	n.tags = t
	return nil
}

// UseKeys changes the keys of the running gossip.
func (n *Node) UseKeys(g membership.GossipKeys) error {
	for _, k := range g.Keys {
		if err := n.ring.AddKey(k); err != nil {
			return fmt.Errorf("gossip: keys: %w", err)
		}
	}
	if err := n.ring.UseKey(g.Keys[0]); err != nil {
		return fmt.Errorf("gossip: keys: %w", err)
	}
	for _, old := range n.ring.GetKeys() {
		if !slices.ContainsFunc(g.Keys, func(k []byte) bool { return bytes.Equal(k, old) }) {
			if err := n.ring.RemoveKey(old); err != nil {
				return fmt.Errorf("gossip: keys: %w", err)
			}
		}
	}
	return nil
}

// Peers returns everybody that the gossip knows, the node itself included.
// Names and addresses are what the others claim. The slice must not be changed.
func (n *Node) Peers() []Peer {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.stale.Swap(false) {
		return n.peers
	}
	n.peers = nil // a new slice: the old one is somebody's
	for _, m := range n.serf.Members() {
		name := membership.Name(m.Name)
		addr, ok := netip.AddrFromSlice(m.Addr)
		if !name.Valid() || !ok {
			continue
		}
		n.peers = append(n.peers, Peer{
			Name: name, Addr: addr.Unmap(), Alive: m.Status == serf.StatusAlive,
			Tags: Tags{m.Tags["n"], m.Tags["s"], m.Tags["r"], m.Tags["k"]},
		})
	}
	return n.peers
}

// settled is the error of a coordinate from which on it means something: it
// begins at 1.5 and goes down with each probe.
const settled = 0.9

// Latency estimates how long an answer takes between two nodes, out of the
// network coordinates that come with the gossip's probes (Vivaldi). It knows
// of nodes that this one has probed.
func (n *Node) Latency(a, b membership.Name) (time.Duration, bool) {
	x, okA := n.serf.GetCachedCoordinate(string(a))
	y, okB := n.serf.GetCachedCoordinate(string(b))
	if !okA || !okB || x.Error > settled || y.Error > settled {
		return 0, false
	}
	return x.DistanceTo(y), true
}

// Stop says goodbye and ends.
func (n *Node) Stop(ctx context.Context) error {
	left := make(chan error, 1)
	go func() { left <- n.serf.Leave() }()
	var err error
	select {
	case err = <-left:
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(5 * time.Second):
	}
	close(n.done)
	return errors.Join(err, n.serf.Shutdown())
}
