package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"
)

// handler is what the lab's commands talk to.
func (k *keeper) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, r *http.Request) {
		answer(w, k.state(r.URL.Query().Has("usage")), nil)
	})
	mux.HandleFunc("POST /cut", func(w http.ResponseWriter, r *http.Request) { k.change(w, r, false) })
	mux.HandleFunc("POST /heal", func(w http.ResponseWriter, r *http.Request) { k.change(w, r, true) })
	return mux
}

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		v = map[string]string{"error": err.Error()}
	}
	json.NewEncoder(w).Encode(v)
}

func (k *keeper) change(w http.ResponseWriter, r *http.Request, up bool) {
	var names []string
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&names)
	for _, n := range names {
		err = errors.Join(err, k.net.set(n, up))
	}
	answer(w, struct{}{}, err)
}

// state is the lab as it is now.
func (k *keeper) state(withUsage bool) *State {
	lab := k.spec.Lab
	k.mu.Lock()
	s := &State{
		Name: lab.Name, Description: lab.Description, Network: lab.Network, Started: k.started, Complete: seconds(k.complete), Services: k.services,
	}
	if k.err != nil {
		s.Error = k.err.Error()
	}
	k.mu.Unlock()
	pids := map[string]int{}
	for _, m := range k.members {
		m.mu.Lock()
		x := m.state
		x.PID, x.On = m.pid, m.pid != 0
		m.mu.Unlock()
		if x.On {
			pids[x.Name] = x.PID
			x.Memory = k.groups.used(k.spec.Dir, m.Name)
		}
		s.Nodes = append(s.Nodes, x)
	}
	if withUsage {
		all, agents := usage(pids)
		s.Processes = all
		for i := range s.Nodes {
			s.Nodes[i].Agent = agents[s.Nodes[i].PID]
		}
	}
	k.net.mu.Lock()
	defer k.net.mu.Unlock()
	for i := range s.Nodes {
		s.Nodes[i].Cut = k.net.cut[s.Nodes[i].Name]
	}
	for i := range lab.Sites {
		s.Sites = append(s.Sites, SiteState{lab.Sites[i].Name, lab.Sites[i].Title, k.net.cut[lab.Sites[i].Name]})
	}
	for i, l := range lab.Links {
		w := k.net.links[i]
		s.Links = append(s.Links, LinkState{
			Name: l.Name, A: l.A, B: l.B, Delay: Seconds(l.Path.Delay.Seconds()), Loss: l.Path.Loss, Rate: l.Path.Rate,
			Up: w.up, Bytes: w.traffic(), Lost: w.count.lost.Load(),
		})
	}
	return s
}

// call asks the keeper of the lab in dir.
func call(ctx context.Context, dir, method, path string, in, out any) error {
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, controlFile))
		},
	}}
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://lab"+path, &body)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var e struct{ Error string }
		json.NewDecoder(resp.Body).Decode(&e)
		return fmt.Errorf("the lab answers: %s", e.Error)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
