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
	"sync"
	"syscall"
	"time"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/nodeconfig"
)

// Defaults of a health check.
const (
	healthInterval = 30 * time.Second
	healthTimeout  = 5 * time.Second

	// healthTimeoutMost is what a check may take whatever the recipe says: the
	// stages wait for it, and systemd's watchdog for them.
	healthTimeoutMost = time.Minute

	// A service that is down may be starting, so it is looked at sooner; one
	// that was started just now, at once.
	downInterval = tick
	settling     = 500 * time.Millisecond
)

type serviceHealth struct {
	ok   bool
	text string
	at   time.Time

	// A unit that does not stay up is started less and less often: each time
	// is a dozen processes, by root.
	starts int       // in a row
	again  time.Time // not before
}

// probesAtOnce bounds the checks that run at one time: each may be a program.
const probesAtOnce = 8

// stageServices starts the units of the services that are on and looks
// whether each service answers. All that are due are asked at once: one that
// hangs delays no other, and the stages behind it by its own timeout only.
func (a *Agent) stageServices(ctx context.Context) (string, error) {
	choices := a.choices()
	on := slices.DeleteFunc(slices.Clone(a.conf.Services), func(s nodeconfig.Service) bool { return !isOn(s, choices) })
	var due []nodeconfig.Service
	a.mu.Lock()
	for _, s := range on {
		if h := a.health[s.Name]; time.Since(h.at) >= checkInterval(s, h.ok) {
			due = append(due, s)
		}
	}
	a.mu.Unlock()
	a.checkServices(ctx, due)
	if err := ctx.Err(); err != nil {
		return "", err
	}
	well := 0
	a.mu.Lock()
	for _, s := range on {
		if a.health[s.Name].ok {
			well++
		}
	}
	a.mu.Unlock()
	return fmt.Sprintf("%d of %d services up", well, len(on)), nil
}

func checkInterval(s nodeconfig.Service, up bool) time.Duration {
	interval := healthInterval
	if s.Health != nil {
		interval = cmp.Or(time.Duration(s.Health.Interval), interval)
	}
	if !up {
		interval = min(interval, downInterval)
	}
	return interval
}

// checkServices starts what does not run, probes the rest and notes what came
// out. Nothing is up without a probe: a service without a check of its own is
// asked for its announced port.
func (a *Agent) checkServices(ctx context.Context, due []nodeconfig.Service) {
	down := inactive(ctx, due)
	stopped := func(s nodeconfig.Service) string {
		if i := slices.IndexFunc(s.Units, func(u string) bool { return down[u] }); i >= 0 {
			return s.Units[i]
		}
		return ""
	}
	starts := map[string]serviceHealth{} // how often, and when again
	var failed error
	a.mu.Lock()
	for _, s := range due {
		if h := a.health[s.Name]; stopped(s) != "" && !time.Now().Before(h.again) {
			starts[s.Name] = serviceHealth{starts: h.starts + 1, again: time.Now().Add(min(downInterval<<min(h.starts, 10), retryMax))}
		}
	}
	a.mu.Unlock()
	if len(starts) > 0 {
		failed = a.wish(ctx, "services", Wish{Services: true})
	}
	slots := make(chan struct{}, probesAtOnce)
	var probes sync.WaitGroup
	for _, s := range due {
		unit := stopped(s)
		h, started := starts[s.Name]
		h.at = time.Now()
		switch {
		case unit != "" && !started:
			a.mu.Lock()
			h.starts, h.again = a.health[s.Name].starts, a.health[s.Name].again
			a.mu.Unlock()
			h.text = fmt.Sprintf("%s does not run; it is started again in %s", unit, max(0, time.Until(h.again)).Round(time.Second))
		case unit != "" && failed != nil:
			h.text = failed.Error()
		case unit != "" && !a.privileged():
			time.AfterFunc(settling, a.Wake)
			h.text, h.at = unit+" is being started", h.at.Add(settling-downInterval)
		}
		if h.text != "" {
			a.noteHealth(ctx, s, h)
			continue
		}
		slots <- struct{}{}
		probes.Go(func() {
			defer func() { <-slots }()
			if err := probe(ctx, checkOf(s)); err != nil {
				h.text = err.Error()
			}
			h.ok, h.at = h.text == "", time.Now()
			a.noteHealth(ctx, s, h)
		})
	}
	probes.Wait()
}

func checkOf(s nodeconfig.Service) nodeconfig.Health {
	switch {
	case s.Health != nil:
		return *s.Health
	case s.Announce != nil:
		return nodeconfig.Health{TCP: s.Announce.Port}
	}
	return nodeconfig.Health{}
}

// noteHealth keeps what a check found; one that the agent's end cut short
// found nothing.
func (a *Agent) noteHealth(ctx context.Context, s nodeconfig.Service, h serviceHealth) {
	if ctx.Err() != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.health[s.Name]; old.ok != h.ok || old.at.IsZero() {
		a.log.Info("service "+s.Name, "up", h.ok, "detail", h.text)
	}
	a.health[s.Name] = h
}

// inactive returns the services' units that do not run.
func inactive(ctx context.Context, list []nodeconfig.Service) map[string]bool {
	var units []string
	for _, s := range list {
		units = append(units, s.Units...)
	}
	if len(units) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	// A line for each unit. The exit code is of them all.
	out, _ := exec.CommandContext(ctx, "systemctl", append([]string{"is-active"}, units...)...).Output()
	states := strings.Split(string(out), "\n")
	down := map[string]bool{}
	for i, u := range units {
		// systemctl(1), is-active: these are what counts as active.
		if i >= len(states) || !slices.Contains([]string{"active", "reloading", "refreshing"}, states[i]) {
			down[u] = true
		}
	}
	return down
}

func probe(ctx context.Context, h nodeconfig.Health) error {
	ctx, cancel := context.WithTimeout(ctx, min(cmp.Or(time.Duration(h.Timeout), healthTimeout), healthTimeoutMost))
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
		return runCheck(ctx, h.Command)
	}
	return nil
}

// runCheck runs a check that is a program. When its time is over everything
// that it started ends with it, and how much it says costs no memory.
func runCheck(ctx context.Context, args []string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // for the output of what left the group
	var out beginning
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", args[0], err, bytes.TrimSpace(out))
	}
	return nil
}

// beginning keeps the first 200 bytes of what is written to it.
type beginning []byte

// Write implements io.Writer.
func (b *beginning) Write(p []byte) (int, error) {
	*b = append(*b, p[:min(len(p), 200-len(*b))]...)
	return len(p), nil
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
