// Package agent is the node's daemon: it brings a node from its first boot
// into the mesh and keeps it there.
//
// It is a reconciler. A fixed list of stages is gone through again and
// again; each looks at what is, does what is missing, and is done when what
// it is for is true. Killed at any point, it goes on from what it finds.
package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"cloudy/firstboot/avahi"
	"cloudy/firstboot/durable"
	"cloudy/firstboot/gossip"
	"cloudy/firstboot/identity"
	"cloudy/firstboot/join"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/nodeconfig"
	"cloudy/firstboot/roster"
	"cloudy/firstboot/seed"
	"cloudy/firstboot/tinc"
)

// Where things lie inside the root.
const (
	StateDir = "var/lib/cloudy"
	RunDir   = "run/cloudy"
	tincDir  = "etc/tinc/cloudy"
	tincPID  = "run/cloudy/mesh/tincd.pid" // where cloudy-mesh.service has it
)

// Options starts an agent.
type Options struct {
	Root    string // "/" on a node
	Config  nodeconfig.Config
	Log     *slog.Logger
	Version string
}

// Agent is a node's daemon.
type Agent struct {
	opts  Options
	conf  nodeconfig.Config
	log   *slog.Logger
	files identity.Files
	seeds seed.Sources
	tincd tinc.Supervisor

	// privileged says whether the agent can do everything itself, as root.
	privileged func() bool

	running  bool // as the daemon
	imported bool // the boot partition and the drives were looked at

	wake       chan struct{}
	rushed     chan struct{}
	fetchSlots chan struct{}
	statusFile sync.Mutex
	written    writtenStatus
	tincMu     sync.Mutex // one writer of tinc's folder
	applied    applied
	opening    opening
	saveMu     sync.Mutex // and of the standing

	mu       sync.Mutex
	status   Status
	id       *identity.Identity
	asker    *join.Client // with the keys of id
	host     string
	standing *standing
	certs    []membership.Certificate // of standing.Chain
	roster   *roster.Roster
	ledger   *join.Ledger
	gossip   *gossip.Node
	avahi    *avahi.Publisher
	listener net.Listener
	stopJoin context.CancelFunc
	refused  map[string]error // tokens that were refused for ever
	asked    map[string]asked // tokens that wait for somebody's yes
	told     map[membership.Name]told
	lonely   time.Time                     // since when no member is reachable
	sought   map[membership.Name]time.Time // since then, as links
	quiet    map[membership.Name]time.Time
	health   map[string]serviceHealth
	extra    map[string]membership.Service // published over the control socket
	pending  *ResetRequest
	becoming membership.Name // until the keys of that name are replaced
	double   double          // another machine with this node's keys
	becomes  bool            // the reset that is pending is because of that
	seen     map[membership.Name]time.Time
	hurry    bool                     // somebody did something: no waiting for the next attempt
	busy     bool                     // asking one member for all
	bridging bool                     // mDNS is off the overlay, see bridge.go
	wiped    map[string]bool          // spent invitations
	missed   map[string]missed        // digests that did not help
	fetching map[membership.Name]bool // members whose news is being fetched
	askedAll time.Time                // when a member was asked for all that it knows
	silent   time.Time                // since when there are members, and the gossip hears none
	lastJoin time.Time                // of the gossip
	meeting  bool                     // members are being joined in the gossip
	unmet    error                    // why that failed the last time

	taught  neighbours // the reconciler's alone, as is
	systemd notifier

	forPage
}

// standing is the node's place in a mesh: one file, whose presence is what
// makes the node a member.
type standing struct {
	Genesis  []byte                `json:"genesis"`
	Chain    membership.Chain      `json:"chain"`
	Keys     membership.GossipKeys `json:"keys"`
	Salt     uint32                `json:"salt"`
	Origin   string                `json:"origin"` // of the invitation, for people
	Links    []membership.Name     `json:"links"`
	Record   membership.NodeRecord `json:"record"`   // the last one signed
	Services membership.Signed     `json:"services"` // the last list signed
	NAT      bool                  `json:"nat,omitempty"`
	Rotating int                   `json:"rotating,omitempty"` // step of a change of keys that this node leads
	Lot      string                `json:"lot,omitempty"`      // drawn because another machine may have this node's key, see double.go
	MinSeq   uint64                `json:"min_seq,omitempty"`  // of the next record
}

const standingFile = "mesh.json"

// New prepares an agent; nothing is read or written yet.
func New(o Options) *Agent {
	lines := &lastLines{}
	a := &Agent{
		opts: o, conf: o.Config, log: slog.New(tee{o.Log.Handler(), lines}),
		files:      identity.Files{Root: o.Root, State: StateDir},
		seeds:      seed.Sources{Root: o.Root, State: StateDir, Baked: o.Config.Mesh.Invitation},
		privileged: func() bool { return os.Geteuid() == 0 },
		wake:       make(chan struct{}, 1),
		rushed:     make(chan struct{}, 1),
		fetching:   map[membership.Name]bool{},
		fetchSlots: make(chan struct{}, fetchers),
		refused:    map[string]error{},
		asked:      map[string]asked{},
		told:       map[membership.Name]told{},
		quiet:      map[membership.Name]time.Time{},
		sought:     map[membership.Name]time.Time{},
		health:     map[string]serviceHealth{},
		extra:      map[string]membership.Service{},
		missed:     map[string]missed{},
		seen:       map[membership.Name]time.Time{},
		wiped:      map[string]bool{},
		forPage:    newForPage(lines),
	}
	for _, s := range a.stages() {
		a.status.Stages = append(a.status.Stages, StageStatus{Name: s.name, State: Pending})
	}
	return a
}

func (a *Agent) path(p string) string { return filepath.Join(a.opts.Root, p) }

func (a *Agent) statePath(p string) string { return a.path(filepath.Join(StateDir, p)) }

// Wake makes the reconciler look now.
func (a *Agent) Wake() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run goes through the stages until the context ends. It leaves the mesh's
// tincd to systemd, where that supervises it.
func (a *Agent) Run(ctx context.Context) error {
	a.running = true
	if err := os.MkdirAll(a.path(RunDir), 0o755); err != nil {
		return err
	}
	// Before anybody can ask for something to be written.
	if err := durable.Clean(a.path(StateDir)); err != nil {
		return err
	}
	if err := a.serveControl(ctx); err != nil {
		return err
	}
	defer a.stopAll()
	go a.watchLinks(ctx)
	if err := durable.ReadJSON(a.statePath(publishedFile), &a.extra); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Warn("services published by hand are lost", "error", err)
	}
	// One that cannot be announced would keep all others from it.
	maps.DeleteFunc(a.extra, func(_ string, s membership.Service) bool { return s.Check() != nil })
	if !a.conf.Page.Off {
		go a.servePage(ctx)
	}
	for ctx.Err() == nil {
		if err := a.doReset(ctx); err != nil {
			a.log.Error("reset", "error", err)
		}
		began := time.Now()
		next := a.reconcile(ctx)
		took := time.Since(began)
		a.writeStatus()
		a.systemd.tell(summary(a.Status()))
		select {
		case <-ctx.Done():
		case <-time.After(min(tick, max(time.Until(next), pauseMin))):
		case <-a.rushed:
		case <-a.wake:
			// Many things happen at once; look once for all of them.
			select {
			case <-ctx.Done():
			case <-a.rushed:
			case <-time.After(min(max(9*took, pauseMin), pauseMax)):
			}
		}
	}
	return nil
}

// stopMesh ends everything that runs because the node is a member.
func (a *Agent) stopMesh(ctx context.Context, tincd bool) {
	a.mu.Lock()
	g, av, stop := a.gossip, a.avahi, a.stopJoin
	a.gossip, a.avahi, a.stopJoin, a.listener = nil, nil, nil, nil
	a.mu.Unlock()
	if av != nil {
		av.Close()
	}
	if g != nil {
		if err := g.Stop(ctx); err != nil {
			a.log.Debug("gossip ended", "error", err)
		}
	}
	if stop != nil {
		stop()
	}
	// Before the daemon runs there is no tincd either.
	if tincd && a.running {
		if err := a.supervisor().Stop(ctx); err != nil {
			a.log.Warn("tincd does not stop", "error", err)
		}
	}
}

// stopAll is the end of the daemon. tincd goes on under systemd.
func (a *Agent) stopAll() {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	a.stopMesh(ctx, a.conf.Mesh.Supervisor == "exec")
}
