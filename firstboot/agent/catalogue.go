package agent

import (
	"cmp"
	"slices"
	"time"

	"cloudy/firstboot/membership"
)

// OwnService is one of the services that this node can offer, or one that
// was published by hand.
type OwnService struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Type        string    `json:"type,omitempty"` // "" when it is not announced
	Port        int       `json:"port,omitempty"`
	On          bool      `json:"on"`
	Up          bool      `json:"up"`
	Checked     time.Time `json:"checked,omitzero"`  // when it was looked at last, since it is on
	Problem     string    `json:"problem,omitempty"` // why it is not up
	Manual      bool      `json:"manual,omitempty"`  // published by hand: can be taken back, not switched
}

// OwnServices returns this node's services: the image's in its order, then
// those published by hand.
func (a *Agent) OwnServices() []OwnService {
	choices := a.choices()
	a.mu.Lock()
	defer a.mu.Unlock()
	out := []OwnService{}
	for _, s := range a.conf.Services {
		x := OwnService{Name: s.Name, Description: s.Description, On: isOn(s, choices)}
		if s.Announce != nil {
			x.Type, x.Port = s.Announce.Type, s.Announce.Port
		}
		if h, ok := a.health[s.Name]; ok && x.On {
			x.Up, x.Problem, x.Checked = h.ok, h.text, h.at
		}
		out = append(out, x)
	}
	var hand []OwnService
	for _, s := range a.extra {
		hand = append(hand, OwnService{Name: s.Name, Type: s.Type, Port: int(s.Port), On: true, Up: true, Manual: true})
	}
	slices.SortFunc(hand, func(x, y OwnService) int { return cmp.Or(cmp.Compare(x.Type, y.Type), cmp.Compare(x.Name, y.Name)) })
	return append(out, hand...)
}

// Found is a service somewhere in the mesh.
type Found struct {
	membership.Service
	Node     membership.Name `json:"node"`
	Host     string          `json:"host"`
	Address4 string          `json:"address4"`
	Address6 string          `json:"address6"`
}

// Search returns the services of a type ("" for all) of members that live.
func (a *Agent) Search(kind string) []Found {
	alive := a.alive()
	a.mu.Lock()
	r, id := a.roster, a.id
	a.mu.Unlock()
	out := []Found{}
	if r == nil {
		return out
	}
	for _, m := range r.Members() {
		if m.Services == nil || (m.Node.Key != id.Key() && !alive[m.Name()]) {
			continue
		}
		for _, s := range m.Services.List {
			if kind == "" || s.Type == kind {
				out = append(out, Found{s, m.Name(), m.Node.Host, m.Address4.String(), m.Address6.String()})
			}
		}
	}
	return out
}

// Members returns everybody who is known, with the node itself.
func (a *Agent) Members() []MemberInfo {
	alive := a.alive()
	a.mu.Lock()
	r, id := a.roster, a.id
	a.mu.Unlock()
	out := []MemberInfo{}
	if r == nil {
		return out
	}
	for _, m := range r.Members() {
		self := m.Node.Key == id.Key()
		info := MemberInfo{
			Name: m.Name(), Host: m.Node.Host, Self: self, Alive: self || alive[m.Name()], Role: m.Certs[0].Role, Inviter: m.Inviter().Name(),
			Address4: m.Address4.String(), Address6: m.Address6.String(),
			At: m.Node.Endpoints, Agent: m.Node.Agent,
		}
		for _, l := range m.Node.Links {
			info.Links = append(info.Links, string(l))
		}
		if m.Services != nil {
			info.Services = len(m.Services.List)
		}
		out = append(out, info)
	}
	return out
}
