package agent

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"cloudy/firstboot/membership"
)

// StageState is how far a stage is.
type StageState string

// The states of a stage.
const (
	Pending StageState = "pending" // its turn has not come
	Running StageState = "running"
	Done    StageState = "done"
	Waiting StageState = "waiting" // for somebody: an invitation, a cable
	Failed  StageState = "failed"  // tried again by itself
	Refused StageState = "refused" // not tried again until something changes
)

// StageStatus is one stage as people see it.
type StageStatus struct {
	Name     string     `json:"name"`
	State    StageState `json:"state"`
	Detail   string     `json:"detail,omitempty"` // one line
	Error    string     `json:"error,omitempty"`
	Since    time.Time  `json:"since"`              // of this state
	Attempts int        `json:"attempts,omitempty"` // that failed in a row
	Next     time.Time  `json:"next,omitzero"`      // of the next attempt
}

// Status is what a node says of itself, in /run/cloudy/status.json and over
// the control socket.
type Status struct {
	Ready    bool            `json:"ready"` // every stage is done
	Name     membership.Name `json:"name,omitempty"`
	Host     string          `json:"host,omitempty"`
	Network  string          `json:"network,omitempty"`
	Role     membership.Role `json:"role,omitempty"`
	Inviter  membership.Name `json:"inviter,omitempty"`
	Address4 string          `json:"address4,omitempty"`
	Address6 string          `json:"address6,omitempty"`
	Members  int             `json:"members"` // known, itself included
	Alive    int             `json:"alive"`   // of those, heard of now
	Links    []string        `json:"links,omitempty"`
	Seed     string          `json:"seed,omitempty"`    // where the invitation came from
	Cloned   bool            `json:"cloned,omitempty"`  // keys were made anew: this was a copy of another node
	Doubled  bool            `json:"doubled,omitempty"` // another machine has, or lately had, this node's keys
	Stages   []StageStatus   `json:"stages"`
	Updated  time.Time       `json:"updated"`
}

// StatusFile is the status inside the root.
const StatusFile = "run/cloudy/status.json"

func (a *Agent) setStage(name string, set func(*StageStatus)) {
	changed := false
	a.mu.Lock()
	for i := range a.status.Stages {
		s := &a.status.Stages[i]
		if s.Name != name {
			continue
		}
		old := *s
		set(s)
		if s.State != old.State {
			s.Since = time.Now()
		}
		// A new detail has time until the end of the round.
		changed = changed || s.State != old.State || s.Error != old.Error
	}
	a.mu.Unlock()
	if changed {
		a.writeStatus()
	}
}

// Status returns the node's status now.
func (a *Agent) Status() Status {
	alive := a.alive()
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.status
	s.Stages = append([]StageStatus(nil), a.status.Stages...)
	s.Ready = true
	for _, x := range s.Stages {
		s.Ready = s.Ready && x.State == Done
	}
	s.Updated = time.Now()
	s.Doubled = !a.double.marked.IsZero() && time.Since(a.double.marked) < doubleMarked
	s.Members, s.Alive = 0, 0
	if a.id != nil {
		s.Name = a.id.Name()
		s.Cloned = s.Cloned || a.id.Copied
	}
	if st := a.standing; st != nil && a.roster != nil {
		m := a.roster.Mesh()
		key := a.id.Key()
		s.Network, s.Role = m.Network, a.certs[0].Role
		if by := a.certs[0].By; by != key {
			s.Inviter = by.Name()
		}
		s.Address4, s.Address6 = m.Address4(key, st.Salt).String(), m.Address6(key).String()
		s.Seed = st.Origin
		for _, l := range st.Links {
			s.Links = append(s.Links, string(l))
		}
		for _, x := range a.roster.Members() {
			s.Members++
			if x.Node.Key == key || alive[x.Name()] {
				s.Alive++
			}
		}
	}
	return s
}

// writtenStatus is what the file says.
type writtenStatus struct {
	data []byte // without the time
	at   time.Time
}

// writeStatus leaves the status for who looks without asking. What has not
// changed only gets a new time now and then. /run is memory: a rename
// suffices, and a failure hinders nothing.
func (a *Agent) writeStatus() {
	s := a.Status()
	now := s.Updated
	s.Updated = time.Time{}
	bare, err := json.Marshal(s)
	if err != nil {
		return
	}
	a.statusFile.Lock()
	defer a.statusFile.Unlock()
	if bytes.Equal(bare, a.written.data) && now.Sub(a.written.at) < tick {
		return
	}
	a.written = writtenStatus{bare, now}
	s.Updated = now
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return
	}
	path := a.path(StatusFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return
	}
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o644); err == nil {
		os.Chmod(path+".new", 0o644) // for everybody, whatever the umask
		os.Rename(path+".new", path)
	}
}
