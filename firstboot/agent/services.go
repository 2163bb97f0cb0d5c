package agent

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"time"

	"cloudy/firstboot/avahi"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/nodeconfig"
)

// Defaults of a health check.
const (
	healthInterval = 30 * time.Second
	healthTimeout  = 5 * time.Second

	// A service that is down may be starting, so it is looked at sooner; one
	// that was started just now, at once.
	downInterval = tick
	settling     = 500 * time.Millisecond
)

type serviceHealth struct {
	ok   bool
	text string
	at   time.Time
}

// stageServices starts the units of the services that are on and looks
// whether each service answers.
func (a *Agent) stageServices(ctx context.Context) (string, error) {
	on, well := 0, 0
	choices := a.choices()
	for _, s := range a.conf.Services {
		if !isOn(s, choices) {
			continue
		}
		on++
		a.mu.Lock()
		h := a.health[s.Name]
		a.mu.Unlock()
		interval := healthInterval
		if s.Health != nil {
			interval = cmp.Or(time.Duration(s.Health.Interval), interval)
		}
		if !h.ok {
			interval = min(interval, downInterval)
		}
		if time.Since(h.at) >= interval {
			h = a.checkService(ctx, s)
			a.mu.Lock()
			if old := a.health[s.Name]; old.ok != h.ok || old.at.IsZero() {
				a.log.Info("service "+s.Name, "up", h.ok, "detail", h.text)
			}
			a.health[s.Name] = h
			a.mu.Unlock()
		}
		if h.ok {
			well++
		}
	}
	return fmt.Sprintf("%d of %d services up", well, on), nil
}

// checkService starts a service where it does not run and probes it.
// Nothing is up without a probe: a service without a check of its own is
// asked for its announced port.
func (a *Agent) checkService(ctx context.Context, s nodeconfig.Service) serviceHealth {
	h := nodeconfig.Health{}
	if s.Health != nil {
		h = *s.Health
	} else if s.Announce != nil {
		h.TCP = s.Announce.Port
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(time.Duration(h.Timeout), healthTimeout)+5*time.Second)
	defer cancel()
	for _, unit := range s.Units {
		if exec.CommandContext(ctx, "systemctl", "is-active", "--quiet", unit).Run() == nil {
			continue
		}
		if err := a.wish(ctx, "services", Wish{Services: true}); err != nil {
			return serviceHealth{text: err.Error(), at: time.Now()}
		}
		if !a.privileged() {
			time.AfterFunc(settling, a.Wake)
			return serviceHealth{text: unit + " is being started", at: time.Now().Add(settling - downInterval)}
		}
		break // all of them were started
	}
	if err := probe(ctx, h); err != nil {
		return serviceHealth{text: err.Error(), at: time.Now()}
	}
	return serviceHealth{ok: true, at: time.Now()}
}

func probe(ctx context.Context, h nodeconfig.Health) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(time.Duration(h.Timeout), healthTimeout))
	defer cancel()
	switch {
	case h.HTTP != "":
		req, err := http.NewRequestWithContext(ctx, "GET", h.HTTP, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		io.CopyN(io.Discard, resp.Body, 64<<10)
		if resp.StatusCode >= 400 {
			return fmt.Errorf("%s: %s", h.HTTP, resp.Status)
		}
	case h.TCP != 0:
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("localhost", strconv.Itoa(h.TCP)))
		if err != nil {
			return err
		}
		c.Close()
	case h.Unit != "":
		if err := exec.CommandContext(ctx, "systemctl", "is-active", "--quiet", h.Unit).Run(); err != nil {
			return fmt.Errorf("%s is not active", h.Unit)
		}
	case len(h.Command) > 0:
		if out, err := exec.CommandContext(ctx, h.Command[0], h.Command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %.200s", h.Command[0], err, bytes.TrimSpace(out))
		}
	}
	return nil
}

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
				Name: cmp.Or(s.Description, s.Name), Type: s.Announce.Type, Port: uint16(s.Announce.Port), TXT: s.Announce.TXT,
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
