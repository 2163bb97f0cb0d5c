package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"cloudy/builder/recipe"

	"golang.org/x/sys/unix"
)

// Files in a lab's folder.
const (
	specFile    = "lab.json"
	pidFile     = "keeper"
	controlFile = "control.sock"
	logFile     = "keeper.log"
)

// spec is what the keeper is told.
type spec struct {
	Dir      string      `json:"dir"`
	Lab      *recipe.Lab `json:"lab"`
	Lower    []string    `json:"lower"` // of the nodes' roots, topmost first
	Parallel int         `json:"parallel"`
}

// keeper holds a lab.
type keeper struct {
	spec    spec
	groups  hierarchies
	net     *network
	members []*member
	offers  map[service]bool // that the catalogue shall have
	started time.Time

	services int

	mu        sync.Mutex
	addresses map[string]netip.Addr // overlay addresses by node that is in the mesh
	reached   map[[2]string]bool    // pairs of nodes of which the first was answered by the second
	complete  time.Duration
	err       error
}

const fdGo = 3 // a byte from who started the keeper, once its process number is written down

func keepMain() int {
	log := func(err error) int {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	unix.CloseOnExec(fdGo)
	if n, _ := os.NewFile(fdGo, "go").Read(make([]byte, 1)); n != 1 || len(os.Args) != 2 {
		return 1
	}
	data, err := os.ReadFile(filepath.Join(os.Args[1], specFile))
	if err != nil {
		return log(err)
	}
	k := &keeper{started: time.Now(), addresses: map[string]netip.Addr{}, reached: map[[2]string]bool{}, offers: map[service]bool{}}
	if err := json.Unmarshal(data, &k.spec); err != nil {
		return log(err)
	}
	// For all nodes together; its own frames matter more than theirs.
	unix.Setpriority(unix.PRIO_PROCESS, 0, -5)
	return log(k.run(context.Background()))
}

// run holds the lab for as long as the process lives.
func (k *keeper) run(ctx context.Context) error {
	// Mounts of this process and below it are nobody else's.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	var err error
	if k.groups, err = findHierarchies(); err != nil {
		return err
	}
	lab := k.spec.Lab
	for i, n := range nodesOf(lab) {
		m := &member{Node: n, site: &lab.Sites[n.Site], dir: filepath.Join(k.spec.Dir, "nodes", n.Name), port: i + 1}
		m.state = NodeState{Name: n.Name, Site: m.site.Name, Address: n.Address.String(), Limit: n.Memory, Stage: "off"}
		k.members = append(k.members, m)
		for _, s := range lab.LabServices(m.site) {
			k.offers[service{s.Description, s.Type, n.Name}] = true
		}
	}
	k.services = len(k.offers)
	// The interface of the lab's commands comes last of what can fail at
	// once: with it the lab is there.
	if k.net, err = newNetwork(lab); err != nil {
		return err
	}
	l, err := net.Listen("unix", filepath.Join(k.spec.Dir, controlFile))
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	go func() {
		if err := k.powerAll(ctx); err != nil {
			k.mu.Lock()
			k.err = err
			k.mu.Unlock()
			fmt.Fprintln(os.Stderr, "error:", err)
		}
	}()
	return http.Serve(l, k.handler())
}

// powerAll starts the founder, has it invite all others, and starts those:
// not all at once, for on a small machine each would take as long as all.
func (k *keeper) powerAll(ctx context.Context) error {
	at := slices.IndexFunc(k.members, func(m *member) bool { return m.Founder })
	if at < 0 {
		return errors.New("no node founds the mesh")
	}
	founder := k.members[at]
	if err := k.start(ctx, founder, ""); err != nil {
		return err
	}
	if err := k.until(ctx, founder, func(s *NodeState) bool { return s.InMesh != 0 }); err != nil {
		return err
	}
	slots := make(chan bool, k.spec.Parallel)
	errs := make(chan error, len(k.members))
	var wg sync.WaitGroup
	for _, m := range k.spread() {
		if m == founder {
			continue
		}
		token, err := founder.agent.invite(ctx)
		if err != nil {
			return fmt.Errorf("invitation for node %s: %w", m.Name, err)
		}
		slots <- true
		wg.Go(func() {
			defer func() { <-slots }()
			if err := k.start(ctx, m, token); err != nil {
				errs <- err
				return
			}
			if err := k.until(ctx, m, func(s *NodeState) bool { return s.Join != 0 }); err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// spread returns the nodes in the order of starting, the sites in turn.
func (k *keeper) spread() []*member {
	var out []*member
	taken := map[int]int{}
	for len(out) < len(k.members) {
		for site := range k.spec.Lab.Sites {
			n := 0
			for _, m := range k.members {
				if m.Site != site {
					continue
				}
				if n == taken[site] {
					out = append(out, m)
					taken[site]++
					break
				}
				n++
			}
		}
	}
	return out
}

func (k *keeper) start(ctx context.Context, m *member, invitation string) error {
	if err := m.prepare(k.spec.Lab, k.spec.Lower[len(k.spec.Lower)-1]); err != nil {
		return err
	}
	if err := m.power(k, invitation); err != nil {
		return err
	}
	m.mu.Lock()
	m.state.On, m.state.Stage, m.state.Started = true, "boots", seconds(m.started.Sub(k.started))
	m.mu.Unlock()
	go k.watch(ctx, m)
	return nil
}

// patience is how long one node may hold up those after it.
const patience = 2 * time.Minute

// until waits for a state of a node. One that takes too long is left alone:
// the others are started all the same. It is an error when the node ended.
func (k *keeper) until(ctx context.Context, m *member, ok func(*NodeState) bool) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		m.mu.Lock()
		done, off := ok(&m.state), m.pid == 0
		note := m.state.Note
		m.mu.Unlock()
		switch {
		case done:
			return nil
		case off:
			return fmt.Errorf("node %s: %s; see %s", m.Name, note, filepath.Join(m.dir, "console.log"))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	if m.Founder {
		return fmt.Errorf("node %s founds no mesh within %s", m.Name, patience)
	}
	return nil
}

// parallel is how many nodes start at once when nobody says.
func parallel() int { return 3 * runtime.NumCPU() }
