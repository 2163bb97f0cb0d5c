// Package roster is what a node knows of the mesh's members: their records,
// their services and who is out. Everything in it was verified, and is kept
// on disk, so that a node comes back into the mesh without asking anybody.
package roster

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/membership"
)

// maxMembers bounds a mesh. Serf and tinc are slow long before it.
const maxMembers = 5000

// What can be wrong with a record that is otherwise right.
var (
	ErrFull  = errors.New("the roster is full")
	ErrTaken = errors.New("name belongs to another key")
	ErrUnfit = errors.New("signer is no member that is known here")
)

// Member is one member.
type Member struct {
	Node     membership.Node
	Certs    []membership.Certificate // its chain, its own first
	Record   membership.NodeRecord
	Services *membership.Services // nil: never heard of any
	Signed   membership.Signed    // of Services

	// What follows from the rest. Each is a hash, and asked for all the time.
	Address4 netip.Addr // on the overlay
	Address6 netip.Addr
	name     membership.Name
}

// Name returns the member's name.
func (m Member) Name() membership.Name { return m.name }

// Inviter returns who admitted the member.
func (m Member) Inviter() membership.Key { return m.Certs[0].By }

// Roster is safe for use by several goroutines.
type Roster struct {
	mesh membership.Mesh
	dir  string // empty: in memory only

	mu      sync.RWMutex
	members map[membership.Name]Member
	whose   map[membership.Hash]membership.Name // the members' records and lists, by digest
	revoked map[membership.Hash]revocation      // by digest
	version uint64
	sorted  []Member // of this version, nil: to be made
	kept    kept     // the last answer of Keeps
}

// Open reads the roster in the folder. Files that do not verify are left
// out, and told by name in the second value: they may be damaged, or of a
// member who is out by now.
func Open(mesh membership.Mesh, dir string) (*Roster, []error, error) {
	r := Memory(mesh)
	r.dir = dir
	var skipped []error
	for _, d := range []string{"nodes", "services", "revocations"} {
		path := filepath.Join(dir, d)
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, nil, err
		}
		if err := durable.Clean(path); err != nil {
			return nil, nil, err
		}
		files, err := os.ReadDir(path)
		if err != nil {
			return nil, nil, err
		}
		for _, f := range files {
			file := filepath.Join(path, f.Name())
			var err error
			switch d {
			case "nodes":
				var rec membership.NodeRecord
				if err = durable.ReadJSON(file, &rec); err == nil {
					_, err = r.addNode(rec, false)
				}
			case "services":
				var s membership.Signed
				if err = durable.ReadJSON(file, &s); err == nil {
					_, err = r.addServices(s, false)
				}
			case "revocations":
				var s membership.Signed
				if err = durable.ReadJSON(file, &s); err == nil {
					_, err = r.addRevocation(s, false)
				}
			}
			if err != nil {
				skipped = append(skipped, fmt.Errorf("%s: %w", file, err))
			}
		}
	}
	return r, skipped, nil
}

// Memory is a roster that is not on disk: it is gone with the process.
func Memory(mesh membership.Mesh) *Roster {
	return &Roster{mesh: mesh, members: map[membership.Name]Member{}, whose: map[membership.Hash]membership.Name{}, revoked: map[membership.Hash]revocation{}}
}

// Mesh returns the mesh.
func (r *Roster) Mesh() membership.Mesh { return r.mesh }

// AddNode verifies a record and takes it in. It says whether it was news;
// one that is known, or older than the one known, is not.
func (r *Roster) AddNode(rec membership.NodeRecord) (bool, error) { return r.addNode(rec, true) }

func (r *Roster) addNode(rec membership.NodeRecord, save bool) (bool, error) {
	if m, ok := r.owner(rec.Record); ok && m.Record.Equal(rec) {
		return false, nil
	}
	n, certs, err := rec.Verify(r.mesh)
	if err != nil {
		return false, err
	}
	name := n.Key.Name()
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, out := membership.Revoked(r.mesh, certs, r.revocations()); out {
		return false, fmt.Errorf("%s: %w", name, membership.ErrRevoked)
	}
	old, known := r.members[name]
	switch {
	case known && old.Node.Key != n.Key:
		return false, fmt.Errorf("%s: %w", name, ErrTaken)
	case known && old.Node.Seq >= n.Seq:
		return false, nil
	case !known && len(r.members) >= maxMembers:
		return false, ErrFull
	}
	if save && r.dir != "" {
		if err := durable.WriteJSON(filepath.Join(r.dir, "nodes", string(name)+".json"), rec); err != nil {
			return false, err
		}
	}
	delete(r.whose, old.Record.Record.Digest())
	r.whose[rec.Record.Digest()] = name
	r.members[name] = Member{
		Node: n, Certs: certs, Record: rec, Services: old.Services, Signed: old.Signed,
		Address4: r.mesh.Address4(n.Key, n.Salt), Address6: r.mesh.Address6(n.Key), name: name,
	}
	r.changed()
	return true, nil
}

// changed is called after every change, with the lock held.
func (r *Roster) changed() {
	r.version++
	r.sorted = nil
}

// Version is another number after every change.
func (r *Roster) Version() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.version
}

// owner returns the member that has said what s says. What is the very same as
// what it has was verified then; the digest alone is not of the signature.
func (r *Roster) owner(s membership.Signed) (Member, bool) {
	digest := s.Digest()
	r.mu.RLock()
	defer r.mu.RUnlock()
	m, ok := r.members[r.whose[digest]]
	return m, ok
}

// AddServices verifies a list of services of a known member and takes it in.
func (r *Roster) AddServices(s membership.Signed) (bool, error) { return r.addServices(s, true) }

func (r *Roster) addServices(s membership.Signed, save bool) (bool, error) {
	if m, ok := r.owner(s); ok && m.Services != nil && m.Signed.Equal(s) {
		return false, nil
	}
	list, err := membership.VerifyServices(s, r.mesh)
	if err != nil {
		return false, err
	}
	name := list.Key.Name()
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.members[name]
	if !ok || m.Node.Key != list.Key {
		return false, fmt.Errorf("services of %s: %w", name, ErrUnfit)
	}
	if m.Services != nil && m.Services.Seq >= list.Seq {
		return false, nil
	}
	if save && r.dir != "" {
		if err := durable.WriteJSON(filepath.Join(r.dir, "services", string(name)+".json"), s); err != nil {
			return false, err
		}
	}
	delete(r.whose, m.Signed.Digest())
	r.whose[s.Digest()] = name
	m.Services, m.Signed = &list, s
	r.members[name] = m
	r.changed()
	return true, nil
}

func (r *Roster) removeFiles(name membership.Name) error {
	if r.dir == "" {
		return nil
	}
	return errors.Join(
		durable.Remove(filepath.Join(r.dir, "nodes", string(name)+".json")),
		durable.Remove(filepath.Join(r.dir, "services", string(name)+".json")),
	)
}

// Get returns a member.
func (r *Roster) Get(name membership.Name) (Member, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	m, ok := r.members[name]
	return m, ok
}

// Members returns all members by name. The slice is everybody's: it must not
// be changed.
func (r *Roster) Members() []Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list()
}

// list is Members with the lock held.
func (r *Roster) list() []Member {
	if r.sorted == nil {
		r.sorted = slices.SortedFunc(maps.Values(r.members), func(a, b Member) int { return cmp.Compare(a.name, b.name) })
	}
	return r.sorted
}

// Remove forgets everything and deletes it from disk.
func Remove(dir string) error {
	err := os.RemoveAll(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
