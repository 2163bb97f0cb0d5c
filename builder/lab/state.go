package lab

import (
	"slices"
	"time"
)

// State is a running lab.
type State struct {
	Name        string         `json:"name"`
	Description string         `json:"description,omitempty"`
	Network     string         `json:"network"`
	Started     time.Time      `json:"started"`
	Complete    Seconds        `json:"complete,omitempty"` // from the start until every node reaches and lists all
	Services    int            `json:"services"`           // that are announced when all is well
	Sites       []SiteState    `json:"sites"`
	Links       []LinkState    `json:"links"`
	Nodes       []NodeState    `json:"nodes"`
	Error       string         `json:"error,omitempty"` // why not all nodes were started
	Processes   map[string]Use `json:"processes,omitempty"`
}

// Seconds is a duration as JSON has it.
type Seconds float64

func seconds(d time.Duration) Seconds { return Seconds(d.Round(time.Millisecond).Seconds()) }

// SiteState is a site.
type SiteState struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Cut   bool   `json:"cut,omitempty"`
}

// LinkState is a link between sites.
type LinkState struct {
	Name  string  `json:"name"`
	A     string  `json:"a"`
	B     string  `json:"b"`
	Delay Seconds `json:"delay,omitempty"`
	Loss  float64 `json:"loss,omitempty"`
	Rate  int64   `json:"rate,omitempty"` // bits per second
	Up    bool    `json:"up"`
	Bytes int64   `json:"bytes"` // in both directions since the start
	Lost  int64   `json:"lost"`  // packets
}

// NodeState is a node. Times are since the node was started.
type NodeState struct {
	Name     string   `json:"name"`
	Site     string   `json:"site"`
	Address  string   `json:"address"` // in its site
	Mesh     string   `json:"mesh,omitempty"`
	Address4 string   `json:"address4,omitempty"`
	Address6 string   `json:"address6,omitempty"`
	On       bool     `json:"on"`
	Cut      bool     `json:"cut,omitempty"`
	PID      int      `json:"pid,omitempty"` // of its systemd
	Stage    string   `json:"stage"`         // what its agent is at
	Ready    bool     `json:"ready"`
	Alive    int      `json:"alive"` // members that it hears of now, itself included
	Links    []string `json:"links,omitempty"`
	Reached  int      `json:"reached"` // other nodes that answered over the mesh
	Listed   int      `json:"listed"`  // services in its catalogue
	Started  Seconds  `json:"started"` // after the lab's start
	Boot     Seconds  `json:"boot,omitempty"`
	Join     Seconds  `json:"join,omitempty"`
	InMesh   Seconds  `json:"in_mesh,omitempty"` // tinc is up and another member answers
	Reach    Seconds  `json:"reach,omitempty"`   // all others
	List     Seconds  `json:"list,omitempty"`    // all services
	Memory   int64    `json:"memory,omitempty"`  // bytes, of all its processes
	Limit    int64    `json:"limit,omitempty"`
	Agent    int64    `json:"agent,omitempty"` // resident bytes of its agent
	Note     string   `json:"note,omitempty"`
}

// Use is what the processes of one name take, in all nodes together.
type Use struct {
	Count    int     `json:"count"`
	Resident int64   `json:"resident"` // bytes
	Largest  int64   `json:"largest"`  // bytes, of one process
	CPU      Seconds `json:"cpu"`
}

// Names returns the names of all that can be cut.
func (s *State) Names() []string {
	var out []string
	for i := range s.Sites {
		out = append(out, s.Sites[i].Name)
	}
	for i := range s.Links {
		out = append(out, s.Links[i].Name)
	}
	for i := range s.Nodes {
		out = append(out, s.Nodes[i].Name)
	}
	return out
}

// Times are when nodes got how far.
type Times struct {
	What             string
	Min, Median, Max Seconds
}

// Times returns when the nodes had booted, joined, reached and listed all.
// Nodes that are not so far do not count.
func (s *State) Times() []Times {
	rows := []struct {
		what string
		get  func(*NodeState) Seconds
	}{
		{"boot", func(n *NodeState) Seconds { return n.Boot }},
		{"join", func(n *NodeState) Seconds { return n.Join }},
		{"in the mesh", func(n *NodeState) Seconds { return n.InMesh }},
		{"reach all", func(n *NodeState) Seconds { return n.Reach }},
		{"list all", func(n *NodeState) Seconds { return n.List }},
	}
	var out []Times
	for _, r := range rows {
		var all []Seconds
		for i := range s.Nodes {
			if t := r.get(&s.Nodes[i]); t != 0 {
				all = append(all, t)
			}
		}
		t := Times{What: r.what}
		if len(all) > 0 {
			slices.Sort(all)
			t.Min, t.Median, t.Max = all[0], all[len(all)/2], all[len(all)-1]
		}
		out = append(out, t)
	}
	return out
}
