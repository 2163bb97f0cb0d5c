package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// agent talks to the agent of a node over its control socket, which is
// reached through the root of the node's systemd in /proc.
type agent struct{ http http.Client }

const agentSocket = "run/cloudy/control.sock"

func newAgent(pid int) *agent {
	path := fmt.Sprintf("/proc/%d/root/%s", pid, agentSocket)
	return &agent{http.Client{
		Timeout: 20 * time.Second,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", path)
			},
			MaxIdleConns: 1, IdleConnTimeout: time.Minute,
		},
	}}
}

func (a *agent) call(ctx context.Context, method, path string, in, out any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://node"+path, &body)
	if err != nil {
		return err
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var e struct{ Error string }
		json.NewDecoder(resp.Body).Decode(&e)
		return fmt.Errorf("%s: %s", resp.Status, e.Error)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// agentStatus is what a lab needs of the agent's status.
type agentStatus struct {
	Ready    bool       `json:"ready"`
	Name     string     `json:"name"`
	Network  string     `json:"network"`
	Address4 netip.Addr `json:"address4"`
	Address6 netip.Addr `json:"address6"`
	Members  int        `json:"members"`
	Alive    int        `json:"alive"`
	Links    []string   `json:"links"`
	Stages   []struct {
		Name   string    `json:"name"`
		State  string    `json:"state"`
		Detail string    `json:"detail"`
		Error  string    `json:"error"`
		Since  time.Time `json:"since"`
	} `json:"stages"`
}

// since returns when a stage was done, or the zero time.
func (s *agentStatus) since(stage string) time.Time {
	for _, x := range s.Stages {
		if x.Name == stage && x.State == "done" {
			return x.Since
		}
	}
	return time.Time{}
}

// now says what the agent is at: the first stage that is not done.
func (s *agentStatus) now() (text string) {
	for _, x := range s.Stages {
		if x.State != "done" {
			text = x.Name + ": " + x.State
			if x.Error != "" {
				text += ": " + x.Error
			}
			return text
		}
	}
	return "ready"
}

func (a *agent) status(ctx context.Context) (s agentStatus, err error) {
	return s, a.call(ctx, "GET", "/status", nil, &s)
}

// service is a service in the catalogue of a node.
type service struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Host string `json:"host"`
}

func (a *agent) services(ctx context.Context) (list []service, err error) {
	return list, a.call(ctx, "GET", "/services", nil, &list)
}

// invite asks for an invitation that is good once.
func (a *agent) invite(ctx context.Context) (string, error) {
	var out struct {
		Token string `json:"token"`
	}
	in := map[string]any{"lifetime": 24 * time.Hour, "uses": 1, "role": "node"}
	return out.Token, a.call(ctx, "POST", "/invite", in, &out)
}
