package page

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// fake is a node that does what it is told, and notes it.
type fake struct {
	mu          sync.Mutex
	facts       Facts
	members     []Member
	links       []Link
	catalogue   []Offer
	services    []Service
	invitations []Invitation
	waiting     []Applicant
	log         []LogLine
	done        []string // what was asked of it
	err         error    // what it answers to everything
}

func (f *fake) set(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fake) did() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.done)
}

func (f *fake) Facts() Facts {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.facts
	x.Stages = slices.Clone(f.facts.Stages)
	return x
}

func get[T any](f *fake, list *[]T) []T {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(*list)
}

func (f *fake) Members() []Member         { return get(f, &f.members) }
func (f *fake) Links() []Link             { return get(f, &f.links) }
func (f *fake) Catalogue() []Offer        { return get(f, &f.catalogue) }
func (f *fake) Services() []Service       { return get(f, &f.services) }
func (f *fake) Invitations() []Invitation { return get(f, &f.invitations) }

func (f *fake) do(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = append(f.done, fmt.Sprintf(format, args...))
	return f.err
}

// fakeToken has the length and the letters of a real one.
var fakeToken = "cloudy1." + strings.Repeat("eyJtIjoiZ3VpZmkiLCJpIjoi", 13) + "." + strings.Repeat("Ab3_xY-9", 10) + "Qw4rT2"

func (f *fake) Invite(_ context.Context, q InviteRequest) (Invitation, error) {
	err := f.do("invite %s %d %t %t", q.Lifetime, q.Uses, q.Inviter, q.Approve)
	i := Invitation{ID: "4fzYk3Qa", Token: fakeToken, Expires: time.Now().Add(q.Lifetime), Uses: q.Uses, Inviter: q.Inviter}
	if err == nil {
		kept := i
		kept.Token = ""
		f.set(func(f *fake) { f.invitations = append(f.invitations, kept) })
	}
	return i, err
}

func (f *fake) Cancel(_ context.Context, id string) error {
	f.set(func(f *fake) {
		for i := range f.invitations {
			f.invitations[i].Cancelled = f.invitations[i].Cancelled || f.invitations[i].ID == id
		}
	})
	return f.do("cancel %s", id)
}

func (f *fake) Waiting() []Applicant { return get(f, &f.waiting) }

func (f *fake) Decide(_ context.Context, name string, approve bool) error {
	f.set(func(f *fake) {
		f.waiting = slices.DeleteFunc(f.waiting, func(a Applicant) bool { return a.Name == name })
	})
	return f.do("decide %s %t", name, approve)
}

func (f *fake) Join(_ context.Context, text string) error {
	if !strings.Contains(text, "cloudy1.") {
		return ErrNoInvitation
	}
	return f.do("join %s", text)
}

func (f *fake) Revoke(_ context.Context, name, reason string, subtree bool) error {
	return f.do("revoke %s %q %t", name, reason, subtree)
}

func (f *fake) Switch(_ context.Context, service string, on bool) error {
	f.set(func(f *fake) {
		for i := range f.services {
			if s := &f.services[i]; s.Name == service {
				s.On, s.Up, s.Checked = on, false, false
			}
		}
	})
	return f.do("switch %s %t", service, on)
}

func (f *fake) Publish(_ context.Context, a Announcement) error {
	return f.do("publish %s %s %d", a.Name, a.Type, a.Port)
}

func (f *fake) Unpublish(_ context.Context, a Announcement) error {
	return f.do("unpublish %s %s", a.Name, a.Type)
}

func (f *fake) Resets() []ResetKind {
	return []ResetKind{ResetServices, ResetMesh, ResetIdentity, ResetFactory}
}

func (f *fake) Reset(_ context.Context, k ResetKind) error { return f.do("reset %s", k) }

func (f *fake) Sources() []string { return []string{"cloudy-node", "cloudy-mesh.service"} }

func (f *fake) Log(_ context.Context, source string, n int) ([]LogLine, error) {
	if source != "cloudy-node" {
		return nil, errors.New("journalctl: not here")
	}
	return get(f, &f.log), nil
}

var stageNames = []string{"identity", "network", "join", "mesh", "discover", "services", "announce"}

// newcomer is a node that waits for an invitation.
func newcomer() *fake {
	f := &fake{facts: Facts{
		Name: "c5d09e4117bfa", Host: "cloudy-5d09e4", Version: "3b42f8d01c77", Addresses: []string{"10.139.40.84", "fe80::5054:ff:fe12:3456"},
		Uptime: 96 * time.Second, Load: 0.42, Memory: 71 << 20, MemoryAll: 256 << 20, Disk: 812 << 20, DiskAll: 3900 << 20, Model: "Raspberry Pi 3 Model B",
	}}
	for i, n := range stageNames {
		s := Stage{Name: n, State: Pending, Since: time.Now().Add(-time.Minute)}
		if i < 2 {
			s.State = Done
		}
		f.facts.Stages = append(f.facts.Stages, s)
	}
	f.facts.Stages[2].State = Waiting
	f.facts.Stages[2].Error = "no invitation: put one into cloudy.txt on the boot partition, or run cloudy-node join: waiting"
	f.log = []LogLine{
		{time.Date(2026, 3, 14, 9, 26, 52, 0, time.UTC), "", "stage identity state=done detail=cloudy-5d09e4"},
		{time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC), "", "stage network state=done detail=10.139.40.84"},
		{time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC), "warn", "stage join state=waiting error=\"no invitation\""},
	}
	return f
}

// citizen is a node in the middle of a mesh of n.
func citizen(n int) *fake {
	f := newcomer()
	places := []string{"castelldefels", "gracia", "sants", "taradell", "vic", "gurb", "kista", "trieste", "hangar", "farinera", "can-batllo", "osona-nord", "montseny", "rubi", "canyelles"}
	host := func(i int) string {
		if i < len(places) {
			return "node-" + places[i]
		}
		return fmt.Sprintf("node-%s-%d", places[i%len(places)], i/len(places)+1)
	}
	name := func(i int) string { return fmt.Sprintf("c%012x", 0x5d09e4117bfa+uint64(i)*0x1f3d5b79) }
	addr := func(i int) string {
		return netip.AddrFrom4([4]byte{100, 64 + byte(i%60), byte(i * 37), byte(i*11 + 7)}).String()
	}
	ms := func(i int) Latency {
		if i == 0 {
			return Latency{}
		}
		return Latency{time.Duration(3+i*i*11%190) * time.Millisecond, i > 3}
	}
	for i := range n {
		m := Member{Name: name(i), Host: host(i), Self: i == 0, Alive: i%9 != 8, Root: i == 1, Inviter: i < 4, By: name(1), Address4: addr(i),
			Address6: fmt.Sprintf("fd3a:91c2:77d0:41ee:%x:5b1:9e2f:%x", 0x1000+i*77, 0x200+i), At: []string{fmt.Sprintf("10.139.%d.%d", 40+i/8, 80+i)}, Version: "3b42f8d01c77", Latency: ms(i)}
		if i == 5 {
			m.At = nil
		}
		f.members = append(f.members, m)
	}
	link := func(a, b int, x Latency) {
		f.links = append(f.links, Link{name(a), name(b), f.members[a].Alive && f.members[b].Alive, x})
	}
	for i := 1; i < n; i++ {
		if i < 4 {
			link(0, i, Latency{ms(i).Time, false})
			f.facts.Links = append(f.facts.Links, name(i))
			continue
		}
		taken := map[int]bool{}
		for k := 1; k <= 3 && k <= i; k++ {
			to := (i*7 + k*k*5) % i
			if to == 0 {
				to = 1 + k%3
			}
			if taken[to] {
				continue
			}
			taken[to] = true
			x := Latency{time.Duration(2+(i*k*13)%180) * time.Millisecond, true}
			if (i+k)%5 == 0 {
				x = Latency{}
			}
			link(i, to, x)
		}
	}
	offer := func(i int, title, kind string, port int, txt map[string]string) {
		if i >= n || !f.members[i].Alive {
			return
		}
		f.members[i].Services++
		f.catalogue = append(f.catalogue, Offer{Name: title, Type: kind, Port: port, TXT: txt, Node: name(i), Host: host(i), Address4: addr(i), Address6: f.members[i].Address6, Self: i == 0, Latency: ms(i)})
	}
	offer(0, "Tahoe grid of Osona", "_tahoe-lafs._tcp", 3456, map[string]string{"grid": "osona", "furl": "pb://k3xq2m7ofpd@100.64.0.7:3456/introducer"})
	offer(1, "Neighbourhood wiki", "_http._tcp", 8080, map[string]string{"path": "/wiki"})
	offer(2, "Photos", "_https._tcp", 443, nil)
	offer(3, "Sync of Taradell", "_syncthing._tcp", 22000, map[string]string{"node_id": "MFZWI3D-BONSGYC-YLTMRWG-C43ENR5-QXGZDMM-FZWI3DP-BONSGYY-LTMRWAD"})
	offer(4, "Assembly, live", "_peerstreamer._tcp", 6667, map[string]string{"codec": "theora"})
	offer(5, "Way out to the internet", "_proxy3._tcp", 3128, map[string]string{"federated": "yes"})
	offer(6, "Library", "_webdav._tcp", 8000, map[string]string{"path": "/books/"})
	offer(7, "Weather station", "_http._tcp", 80, nil)
	for i := 9; i < n; i++ {
		offer(i, "Status of "+places[i%len(places)], "_http._tcp", 7000+i, nil)
	}
	f.services = []Service{
		{Name: "tahoe-lafs", Description: "Tahoe-LAFS, storage shared by many", Type: "_tahoe-lafs._tcp", Port: 3456, On: true, Up: true, Checked: true},
		{Name: "syncthing", Description: "Syncthing, folders kept the same", Type: "_syncthing._tcp", Port: 22000, On: true, Checked: true, Problem: "dial tcp 127.0.0.1:22000: connect: connection refused"},
		{Name: "etcd", Description: "etcd, a store of small facts", Type: "_etcd._tcp", Port: 2379},
		{Name: "Wiki", Description: "Wiki", Type: "_http._tcp", Port: 8080, On: true, Up: true, Checked: true, Manual: true},
	}
	f.invitations = []Invitation{
		{ID: "Kp83mQx1", Expires: time.Now().Add(-30 * time.Hour), Uses: 1},
		{ID: "r5Tb90Zs", Expires: time.Now().Add(50 * time.Hour), Uses: 3, Used: []string{"node-vic", "node-gurb"}, Inviter: true},
		{ID: "x2Lw7Nqe", Expires: time.Now().Add(71 * time.Hour), Uses: 1},
	}
	f.waiting = []Applicant{{"c71ab90ffe012", "cloudy-71ab90", time.Now().Add(-4 * time.Minute)}}
	alive := 0
	for _, m := range f.members {
		if m.Alive {
			alive++
		}
	}
	x := &f.facts
	x.Host, x.Member, x.MayInvite, x.Network, x.Inviter, x.Members, x.Alive, x.Ready = host(0), true, true, "guifi", name(1), n, alive, true
	x.Address4, x.Address6, x.Uptime, x.Name = addr(0), f.members[0].Address6, 3*24*time.Hour+4*time.Hour, name(0)
	for i := range x.Stages {
		x.Stages[i].State, x.Stages[i].Error, x.Stages[i].Since = Done, "", time.Now().Add(-76*time.Hour)
	}
	return f
}
