package agent

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"time"

	"cloudy/firstboot/join"
	"cloudy/firstboot/membership"
)

// Two machines with one key, as after a card was copied, throw each other out
// of the mesh: tincd closes a member's old connection for its new one, and they
// share every overlay address. identity notices a copy by its hardware before
// it does any harm; where there is nothing to compare, as in many virtual
// machines, the two notice each other here.
//
// A member that is told of a record answers with the one that it has when
// that is newer, and one that fetches a record shows the newer one that it has. A node that gets a newer record of its own key that it did
// not sign draws a lot, signs a record with it that is newer still, and tells
// it. A node that was restored from an old backup has peace then. A copy gets
// that record in the same way and does the same; and of two who have drawn,
// the one with the larger lot becomes somebody else.

// A link that comes back this often within doubleWithin is a sign of it too,
// for two machines with the same addresses sign the same record.
const (
	doubleFlaps  = 4
	doubleWithin = 5 * time.Minute

	// tellAgain is how often a link that was told is told again, so that
	// what no sign shows comes out in the end.
	tellAgain = 10 * time.Minute

	// doubleMarked is how long the status says that there was another.
	doubleMarked = 24 * time.Hour
)

// double is what a node knows of another machine with its key.
type double struct {
	losses []time.Time // of links that came back
	marked time.Time   // when it was last sure, zero: never
}

// flapped notes that a link was lost and is back, and says whether that has
// been too often.
func (d *double) flapped(now time.Time) bool {
	d.losses = append(d.losses, now)
	for len(d.losses) > 0 && now.Sub(d.losses[0]) > doubleWithin {
		d.losses = d.losses[1:]
	}
	return len(d.losses) >= doubleFlaps
}

// verdict is what follows from a newer record of one's own key.
type verdict int

const (
	nothing verdict = iota // one's own after all
	answer                 // sign a newer one, with a lot
	leave                  // the other one stays who it is
)

// judge compares the node's record with another of its key that a member has.
// A lot is drawn by whoever finds that there is another.
func judge(mine, other membership.Node, same bool) verdict {
	switch {
	case same || other.Key != mine.Key || other.Seq < mine.Seq:
		return nothing
	case mine.Lot != "" && other.Lot != "" && mine.Lot > other.Lot:
		return leave
	}
	return answer
}

// contested takes a refusal to a record of this node, and acts upon it when it
// brings a newer one. It says whether another record is to be told.
func (a *Agent) contested(ref *join.Refusal) bool {
	return ref.Code == join.CodeDouble && ref.Record != nil && a.another(*ref.Record)
}

// Double implements join.Doubled.
func (a *Agent) Double(rec membership.NodeRecord) { a.another(rec) }

// another acts upon a record of this node's key that somebody has.
func (a *Agent) another(rec membership.NodeRecord) bool {
	a.mu.Lock()
	st, r := a.standing, a.roster
	a.mu.Unlock()
	if st == nil || r == nil {
		return false
	}
	other, _, err := rec.Verify(r.Mesh())
	if err != nil {
		a.log.Warn("a member has a newer record of this node that is none", "error", err)
		return false
	}
	a.mu.Lock()
	mine, _, err := st.Record.Verify(r.Mesh())
	if err != nil {
		a.mu.Unlock()
		return false
	}
	switch judge(mine, other, st.Record.Record.Digest() == rec.Record.Digest()) {
	case nothing:
		a.mu.Unlock()
		return false
	case leave:
		a.pending = &ResetRequest{Identity: true}
		a.becomes = true
		a.mu.Unlock()
		a.log.Warn("another machine has this node's keys; this one gets new ones and must be invited anew")
	case answer:
		sure := other.Lot != "" && other.Lot != mine.Lot
		if sure {
			a.double.marked = time.Now()
		}
		if st.Lot == "" || st.Lot == other.Lot { // the copy has it too
			st.Lot = newLot()
		}
		st.MinSeq = max(st.MinSeq, other.Seq+1)
		a.mu.Unlock()
		a.log.Warn("a member has a newer record of this node, signing another", "sequence", other.Seq, "copy", sure)
	}
	a.rush()
	return true
}

func newLot() string {
	raw := make([]byte, 12)
	rand.Read(raw)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// linkBack is for a link that was lost and is reached again: it is told anew,
// for who threw the node out may have told it something else.
func (a *Agent) linkBack(l membership.Name) {
	delete(a.told, l)
	if a.standing != nil && a.standing.Lot == "" && a.double.flapped(time.Now()) {
		a.log.Warn("links are lost and come back all the time; looking whether another machine has this node's keys")
		a.standing.Lot = newLot()
	}
}

// refusedAs returns the refusal in an error.
func refusedAs(err error) (*join.Refusal, bool) {
	var ref *join.Refusal
	ok := errors.As(err, &ref)
	return ref, ok
}
