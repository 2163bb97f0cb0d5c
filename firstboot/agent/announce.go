package agent

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"cloudy/firstboot/avahi"
	"cloudy/firstboot/membership"
)

// announced is what this node offers now: what is on and answers, and what
// scripts published.
func (a *Agent) announced() []membership.Service {
	choices := a.choices()
	a.mu.Lock()
	defer a.mu.Unlock()
	out := []membership.Service{}
	for _, s := range a.conf.Services {
		if isOn(s, choices) && s.Announce != nil && a.health[s.Name].ok {
			out = append(out, membership.Service{
				Name: s.AnnouncedName(), Type: s.Announce.Type, Port: uint16(s.Announce.Port), TXT: s.Announce.TXT,
			})
		}
	}
	for _, s := range a.extra {
		out = append(out, s)
	}
	slices.SortFunc(out, func(x, y membership.Service) int {
		return cmp.Or(cmp.Compare(x.Type, y.Type), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Port, y.Port))
	})
	return out
}

// stageAnnounce tells the mesh what this node offers: signed, through the
// gossip, and by Avahi on the overlay.
func (a *Agent) stageAnnounce(ctx context.Context) (string, error) {
	list := a.announced()
	if err := a.signServices(list); err != nil {
		return "", err
	}
	a.mu.Lock()
	g, p := a.gossip, a.avahi
	a.mu.Unlock()
	if g != nil {
		if err := g.SetTags(a.tags()); err != nil {
			return "", err
		}
	}
	if p != nil {
		if err := p.Alive(); err != nil {
			a.log.Info("announcing anew", "because", err)
			p.Close()
			p = nil
		}
	}
	if p == nil {
		var err error
		if p, err = avahi.Open(); err != nil {
			a.mu.Lock()
			a.avahi = nil
			a.mu.Unlock()
			return "", err
		}
		a.mu.Lock()
		a.avahi = p
		a.mu.Unlock()
	}
	shown := list
	if a.certs[0].Role == membership.RoleInviter {
		// For neighbours alone: the mesh knows its members.
		shown = append(slices.Clone(list), a.endpointService())
	}
	if err := p.Set(a.host, shown); err != nil {
		return "", err
	}
	detail := fmt.Sprintf("%d services announced", len(list))
	bridged, err := a.bridge(ctx, p)
	if err != nil {
		return "", err
	}
	if bridged >= 0 {
		detail += fmt.Sprintf(", %d of others shown here", bridged)
	}
	return detail, nil
}

// signServices signs the list anew when it has changed.
func (a *Agent) signServices(list []membership.Service) error {
	m := a.roster.Mesh()
	v := membership.Services{Version: 1, Mesh: m.ID, Key: a.id.Key(), List: list}
	a.mu.Lock()
	old := a.standing.Services
	a.mu.Unlock()
	var was membership.Services
	var err error
	if own, ok := a.roster.Get(a.id.Name()); ok && own.Services != nil && own.Signed.Equal(old) {
		was = *own.Services // verified
	} else {
		was, err = membership.VerifyServices(old, m)
	}
	if err == nil {
		v.Seq = was.Seq
		x, _ := json.Marshal(was)
		y, _ := json.Marshal(v)
		if bytes.Equal(x, y) {
			_, err := a.roster.AddServices(old)
			return err
		}
	} else if len(list) == 0 {
		return nil // never offered anything
	}
	v.Seq++
	signed, err := membership.SignServices(a.id.Private(), v)
	if err != nil {
		return err
	}
	// What is signed here is checked as others will.
	if _, err := membership.VerifyServices(signed, m); err != nil {
		return err
	}
	a.mu.Lock()
	a.standing.Services = signed
	a.mu.Unlock()
	if err := a.saveStanding(); err != nil {
		return err
	}
	_, err = a.roster.AddServices(signed)
	return err
}
