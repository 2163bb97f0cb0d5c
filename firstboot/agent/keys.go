package agent

import (
	"crypto/rand"

	"cloudy/firstboot/membership"
)

// The gossip's keys are changed when a member is put out. The new key goes
// from member to member over TLS, never through the gossip, where the one
// who was put out might still listen. It takes three steps, so that all
// understand each other at any time; each waits until every living member
// has made the one before:
//
//	1. everybody decrypts with the new key as well
//	2. everybody encrypts with it
//	3. the old one is dropped
//
// A member that slept through it hears nobody when it wakes, asks its links
// and gets the new key.

// rotateStart is the first step, by the member that puts another out.
func (a *Agent) rotateStart() error {
	key := make([]byte, 32)
	rand.Read(key)
	a.mu.Lock()
	st := a.standing
	st.Keys = membership.GossipKeys{Epoch: st.Keys.Epoch + 1, Keys: [][]byte{st.Keys.Keys[0], key}}
	st.Rotating = 1
	a.mu.Unlock()
	return a.useKeys()
}

// rotate goes one step on when everybody who lives has made the last one.
func (a *Agent) rotate(alive map[membership.Name]bool) error {
	a.mu.Lock()
	st, g := a.standing, a.gossip
	if st.Rotating == 0 || g == nil {
		a.mu.Unlock()
		return nil
	}
	tag := st.Keys.Tag()
	for _, p := range g.Peers() {
		if alive[p.Name] && p.Tags.Keys != tag {
			a.mu.Unlock()
			return nil
		}
	}
	next := membership.GossipKeys{Epoch: st.Keys.Epoch + 1}
	switch k := st.Keys.Keys; st.Rotating {
	case 1:
		next.Keys, st.Rotating = [][]byte{k[1], k[0]}, 2
	default:
		next.Keys, st.Rotating = k[:1], 0
	}
	st.Keys = next
	a.mu.Unlock()
	a.log.Info("gossip keys", "tag", next.Tag(), "keys", len(next.Keys))
	return a.useKeys()
}

// adopt takes keys from another member, if they are newer. A change that
// this node had begun itself is over then.
func (a *Agent) adopt(g membership.GossipKeys) (bool, error) {
	if err := g.Check(); err != nil {
		return false, err
	}
	a.mu.Lock()
	if a.standing == nil || !membership.Newer(g.Tag(), a.standing.Keys.Tag()) {
		a.mu.Unlock()
		return false, nil
	}
	a.standing.Keys, a.standing.Rotating = g, 0
	a.mu.Unlock()
	return true, a.useKeys()
}

// useKeys writes the keys down and gives them to the gossip.
func (a *Agent) useKeys() error {
	if err := a.saveStanding(); err != nil {
		return err
	}
	a.mu.Lock()
	g, st := a.gossip, a.standing
	if g == nil || st == nil {
		a.mu.Unlock()
		return nil
	}
	keys := st.Keys
	a.mu.Unlock()
	if err := g.UseKeys(keys); err != nil {
		return err
	}
	a.Wake()
	return nil
}
