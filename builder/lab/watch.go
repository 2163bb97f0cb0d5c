package lab

import (
	"context"
	"net/netip"
	"time"
)

// The pace at which a node is looked at: while it starts, and later. Being
// looked at costs the nodes something, so that many are looked at less often.
const (
	paceStarting = 300 * time.Millisecond
	pacePerNode  = 20 * time.Millisecond
	paceSteady   = 5 * time.Second
	pacePing     = time.Second
)

// watch follows a node until the lab ends.
func (k *keeper) watch(ctx context.Context, m *member) {
	var pinged time.Time
	reached, listed := 0, false
	k.forget(m.Name)
	for ctx.Err() == nil {
		pace := paceStarting + time.Duration(len(k.members))*pacePerNode
		c, cancel := context.WithTimeout(ctx, 20*time.Second)
		s, err := m.agent.status(c)
		m.mu.Lock()
		on := m.pid != 0
		if err == nil {
			m.note(&s)
		} else if on && m.state.Boot != 0 {
			m.state.Stage, m.state.Ready = "its agent does not answer", false
		}
		m.mu.Unlock()
		if !on {
			cancel()
			return
		}
		if err == nil && s.Address6.IsValid() && !s.since("mesh").IsZero() {
			k.know(m.Name, s.Address6)
			if reached < len(k.members)-1 {
				ask := time.Since(pinged) >= pacePing
				if ask {
					pinged = time.Now()
				}
				reached = k.reach(m, ask)
			}
			// The whole list is not asked for before it can be whole.
			if !listed && s.Alive == len(k.members) {
				if list, err := m.agent.services(c); err == nil {
					listed = k.count(list) >= k.services
					m.mu.Lock()
					m.state.Listed = k.count(list)
					m.mu.Unlock()
				}
			}
			m.mu.Lock()
			m.state.Reached = reached
			if reached == len(k.members)-1 && m.state.Reach == 0 {
				m.state.Reach = seconds(time.Since(m.started))
			}
			if listed && m.state.List == 0 {
				m.state.List = seconds(time.Since(m.started))
			}
			if m.state.Reach != 0 && m.state.List != 0 {
				pace = paceSteady
			}
			m.mu.Unlock()
			k.finish()
		}
		cancel()
		select {
		case <-ctx.Done():
		case <-time.After(pace):
		}
	}
}

// note takes down what the agent says. The member is locked.
func (m *member) note(s *agentStatus) {
	x := &m.state
	since := func(t time.Time) Seconds {
		if t.IsZero() {
			return 0
		}
		return max(seconds(t.Sub(m.started)), 0.001)
	}
	if x.Boot == 0 {
		// The agent is the last to start, and this its first stage.
		x.Boot = since(s.since("identity"))
	}
	if x.Join == 0 {
		x.Join = since(s.since("join"))
	}
	if x.InMesh == 0 {
		x.InMesh = since(s.since("mesh"))
	}
	x.Stage, x.Ready, x.Alive, x.Links, x.Mesh = s.now(), s.Ready, s.Alive, s.Links, s.Name
	if s.Address6.IsValid() {
		x.Address4, x.Address6 = s.Address4.String(), s.Address6.String()
	}
}

func (k *keeper) know(name string, a netip.Addr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.addresses[name] = a
}

// forget is for a node that starts: it has reached nobody.
func (k *keeper) forget(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.addresses, name)
	for pair := range k.reached {
		if pair[0] == name || pair[1] == name {
			delete(k.reached, pair)
		}
	}
}

// reach says how many other nodes answered a node over the mesh, or were
// answered: one of two asks, for an answer has crossed both ways. With ask it
// asks those that it has not heard yet.
func (k *keeper) reach(m *member, ask bool) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, a := range k.addresses {
		pair := [2]string{m.Name, name}
		if name <= m.Name || k.reached[pair] {
			continue
		}
		if m.pinger.has(a) {
			k.reached[pair] = true
		} else if ask {
			m.pinger.ask(a)
		}
	}
	n := 0
	for name := range k.addresses {
		if k.reached[[2]string{m.Name, name}] || k.reached[[2]string{name, m.Name}] {
			n++
		}
	}
	return n
}

// count says how many of the services that the lab's nodes offer are in the list.
func (k *keeper) count(list []service) int {
	seen := map[service]bool{}
	for _, s := range list {
		if k.offers[s] {
			seen[s] = true
		}
	}
	return len(seen)
}

// finish notes when every node reaches and lists all.
func (k *keeper) finish() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.complete != 0 {
		return
	}
	for _, m := range k.members {
		m.mu.Lock()
		done := m.state.Reach != 0 && m.state.List != 0
		m.mu.Unlock()
		if !done {
			return
		}
	}
	k.complete = time.Since(k.started)
}
