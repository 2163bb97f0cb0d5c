package agent

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloudy/firstboot/durable"
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

// servicesFile holds what an owner chose: which services are on, by name.
const servicesFile = "services.json"

func (a *Agent) choices() map[string]bool {
	out := map[string]bool{}
	if err := durable.ReadJSON(a.statePath(servicesFile), &out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Warn("which services are on is lost, the image's choice counts", "error", err)
	}
	return out
}

func isOn(s nodeconfig.Service, choices map[string]bool) bool {
	if on, ok := choices[s.Name]; ok {
		return on
	}
	return s.Enabled
}

// SetService turns one of the node's services on or off, for good.
func (a *Agent) SetService(ctx context.Context, name string, on bool) error {
	if !slices.ContainsFunc(a.conf.Services, func(s nodeconfig.Service) bool { return s.Name == name }) {
		var have []string
		for _, s := range a.conf.Services {
			have = append(have, s.Name)
		}
		if len(have) == 0 {
			return fmt.Errorf("there is no service %s: the image has none that can be turned on", name)
		}
		return fmt.Errorf("there is no service %s; there are %s", name, strings.Join(have, ", "))
	}
	a.mu.Lock()
	choices := a.choices()
	choices[name] = on
	err := durable.WriteJSON(a.statePath(servicesFile), choices)
	delete(a.health, name)
	a.mu.Unlock()
	if err != nil {
		return err
	}
	err = a.wish(ctx, "services", Wish{Services: true})
	a.rush()
	return err
}
