// Package page is the node's page: what its owner sees of the node, of its
// way into the mesh and of the mesh, and where it is run.
//
// The page is written on the node and works without a script; a small one
// keeps it current. It knows nothing of how the agent does what it does: all
// facts come through Node.
package page

import (
	"context"
	"errors"
	"time"
)

// Node is the agent as the page needs it. All methods may be called at once
// from many goroutines; those without a context only look at what is known
// and return at once.
type Node interface {
	Facts() Facts
	Members() []Member // the node itself included; empty outside of a mesh
	Links() []Link
	Catalogue() []Offer // services in the mesh whose nodes live
	Services() []Service
	Invitations() []Invitation

	// Invite gives out an invitation. The answer is the only one that
	// has the token.
	Invite(context.Context, InviteRequest) (Invitation, error)
	Cancel(ctx context.Context, id string) error

	// Waiting are the nodes that asked to be let in with an invitation
	// that needs approval; Decide lets one in or keeps it out.
	Waiting() []Applicant
	Decide(ctx context.Context, name string, approve bool) error

	// Join takes an invitation out of a text; ErrNoInvitation when there
	// is none in it. Whether it is accepted shows in the stages.
	Join(ctx context.Context, text string) error
	Revoke(ctx context.Context, name, reason string, subtree bool) error

	// Switch turns a service of the node on or off, for good.
	Switch(ctx context.Context, service string, on bool) error
	Publish(context.Context, Announcement) error
	Unpublish(context.Context, Announcement) error

	// Resets are the kinds of reset that there are, the mildest first.
	Resets() []ResetKind
	Reset(context.Context, ResetKind) error

	// Sources are the logs that there are, the agent's own first; Log
	// returns the last lines of one, the newest last.
	Sources() []string
	Log(ctx context.Context, source string, lines int) ([]LogLine, error)
}

// Errors of Node that the page has words of its own for.
var (
	ErrNoInvitation  = errors.New("this is no invitation")
	ErrAlreadyMember = errors.New("this node is in a mesh already")
	ErrNotMember     = errors.New("this node is in no mesh yet")
	ErrMayNotInvite  = errors.New("this node may not invite")
)

// The states of a stage, as the agent names them.
const (
	Pending = "pending"
	Running = "running"
	Done    = "done"
	Waiting = "waiting"
	Failed  = "failed"
	Refused = "refused"
)

// Facts is what a node is now.
type Facts struct {
	Name, Host        string
	Version           string
	Member            bool // of a mesh; the fields up to Links are set then
	MayInvite         bool
	Network           string
	Inviter           string // "" for a root
	Address4          string
	Address6          string
	Members, Alive    int      // itself included
	Links             []string // members that it connects to
	Addresses         []string // outside of the mesh
	Ready             bool     // every stage is done
	Asked             bool     // its invitation is taken, somebody has to approve
	Cloned            bool     // the system was copied from another node's
	Doubled           bool     // another machine has, or lately had, this node's keys
	Stages            []Stage
	Uptime            time.Duration
	Load              float64 // of the last minute; processes that run or wait
	Memory, MemoryAll uint64  // in use and in all, bytes
	Disk, DiskAll     uint64  // of the file system that holds the state, bytes
	Model             string  // of the machine, where it says so
}

// Stage is one stage of the agent.
type Stage struct {
	Name, State string
	Error       string // in English, for who repairs it
	Since       time.Time
	Attempts    int
	Next        time.Time // zero: no attempt is planned
}

// Member is a node of the mesh.
type Member struct {
	Name, Host         string
	Self, Alive        bool
	Root               bool
	Inviter            bool   // may invite
	By                 string // who admitted it; its own name for a root
	Address4, Address6 string
	At                 []string // addresses outside of the mesh
	Services           int
	Version            string
	Latency            Latency // from this node
}

// Latency is how long an answer takes: there and back. Zero is not known.
type Latency struct {
	Time     time.Duration
	Estimate bool // out of the gossip's coordinates, not measured
}

// Link is a connection between two members.
type Link struct {
	A, B    string
	Up      bool // both live
	Latency Latency
}

// Offer is a service somewhere in the mesh.
type Offer struct {
	Name, Type         string
	Port               int
	TXT                map[string]string
	Node, Host         string
	Address4, Address6 string
	Self               bool
	Latency            Latency
}

// Service is one of this node's services.
type Service struct {
	Name        string
	Description string
	Type        string // "" when it is not announced
	Port        int
	On          bool
	Up          bool
	Checked     bool   // Up was looked at since it is on
	Problem     string // why it is not up, in English
	Manual      bool   // announced by hand: can be taken back, not switched
}

// Announcement is what is announced by hand.
type Announcement struct {
	Name, Type string
	Port       int
}

// InviteRequest is what an invitation shall be good for.
type InviteRequest struct {
	Lifetime time.Duration
	Uses     int
	Inviter  bool
	Approve  bool // each node waits until somebody lets it in
}

// Applicant is a node that waits to be let in.
type Applicant struct {
	Name, Host string
	Since      time.Time
}

// Invitation is one that this node gave out.
type Invitation struct {
	ID        string
	Token     string // only in the answer of Invite
	Expires   time.Time
	Uses      int
	Used      []string // host names
	Inviter   bool
	Cancelled bool
}

// ResetKind is a kind of reset.
type ResetKind string

// The kinds that the page has words for.
const (
	ResetMesh     ResetKind = "mesh"     // leave the mesh
	ResetServices ResetKind = "services" // and forget how services were set up
	ResetIdentity ResetKind = "identity" // leave, and be another node
	ResetFactory  ResetKind = "factory"  // as the image was
)

// LogLine is a line of a log.
type LogLine struct {
	At    time.Time // zero where the line has it itself
	Level string    // "", "warn" or "error"
	Text  string
}
