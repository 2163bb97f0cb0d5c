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
	reached := map[string]bool{}
	listed := false
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
		if err == nil && s.Address6.IsValid() {
			k.know(m.Name, s.Address6)
			others := k.others(m.Name)
			if len(reached) < len(k.members)-1 && time.Since(pinged) >= pacePing && !s.since("mesh").IsZero() {
				pinged = time.Now()
				for name, a := range others {
					if !reached[name] {
						m.pinger.ask(a)
					}
				}
			}
			for name, a := range others {
				if !reached[name] && m.pinger.has(a) {
					reached[name] = true
				}
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
			m.state.Reached = len(reached)
			if len(reached) == len(k.members)-1 && m.state.Reach == 0 {
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

// others returns the overlay addresses of all nodes that are known to have one.
func (k *keeper) others(than string) map[string]netip.Addr {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make(map[string]netip.Addr, len(k.addresses))
	for name, a := range k.addresses {
		if name != than {
			out[name] = a
		}
	}
	return out
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
