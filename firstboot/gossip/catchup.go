package gossip

import (
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
)

// Gossip passes a message on some times to others by chance, so that now and
// then somebody is missed: a node that was cut off for a moment, or had bad
// luck. memberlist mends that by exchanging everything with somebody, but every
// two minutes or less often, and when a mesh starts many are missed. So a node
// that hears news exchanges everything with another one soon after, and once
// more, for the first one may have been missed as well. Who hears nothing
// does nothing.
const (
	// CatchUpAfter is how long after news it does, and how long at least it
	// waits between two exchanges.
	CatchUpAfter = 6 * time.Second

	// CatchUpEach is what each member adds to that pause, so that exchanges
	// in a larger mesh take no more of a line: some 250 bytes for each
	// member both ways.
	CatchUpEach = 100 * time.Millisecond

	// CatchUps is how many exchanges follow the last news.
	CatchUps = 2
)

// CatchUpPause is the time until a node that knows so many members exchanges
// everything, before jitter: up to half as much is added.
func CatchUpPause(members int) time.Duration {
	return CatchUpAfter + time.Duration(members)*CatchUpEach
}

// CatchUp says that this node may have missed something.
func (n *Node) CatchUp() {
	select {
	case n.news <- struct{}{}:
	default:
	}
}

func (n *Node) catchUp() {
	left := 0
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	wait := func() {
		pause := CatchUpPause(n.serf.Memberlist().NumMembers())
		due.Reset(pause + rand.N(pause/2))
	}
	for {
		select {
		case <-n.done:
			return
		case <-n.news:
			if left == 0 {
				wait()
			}
			left = CatchUps
		case <-due.C:
			if left == 0 {
				continue
			}
			// Beside: one that does not answer takes half a minute.
			go n.exchange()
			if left--; left > 0 {
				wait()
			}
		}
	}
}

// exchange gives another member, by chance, all that this node knows, and
// takes what that one does.
func (n *Node) exchange() {
	list := n.serf.Memberlist()
	var others []*memberlist.Node
	for _, m := range list.Members() {
		if m.Name != list.LocalNode().Name && m.State == memberlist.StateAlive {
			others = append(others, m)
		}
	}
	if len(others) == 0 {
		return
	}
	to := others[rand.IntN(len(others))]
	// Not by Serf, which would tell everybody that this node has joined.
	_, _ = list.Join([]string{net.JoinHostPort(to.Addr.String(), strconv.Itoa(int(to.Port)))}) // the next one may answer
}
