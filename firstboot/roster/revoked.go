package roster

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/membership"
)

// maxRevocations bounds those of one signer.
const maxRevocations = 1000

type revocation struct {
	membership.Revocation
	signed membership.Signed
}

// AddRevocation verifies a revocation, takes it in and puts out whom it
// concerns. It says whether it was news.
func (r *Roster) AddRevocation(s membership.Signed) (bool, error) { return r.addRevocation(s, true) }

func (r *Roster) addRevocation(s membership.Signed, save bool) (bool, error) {
	rev, err := membership.VerifyRevocation(s, r.mesh)
	if err != nil {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	digest := s.Digest()
	if _, known := r.revoked[digest]; known {
		return false, nil
	}
	if save {
		// What was saved once was fit then; its signer may be gone now.
		if m, ok := r.members[rev.By.Name()]; !r.mesh.IsRoot(rev.By) && (!ok || m.Node.Key != rev.By) {
			return false, fmt.Errorf("revocation by %s: %w", rev.By.Name(), ErrUnfit)
		}
		n := 0
		for _, x := range r.revoked {
			if x.By == rev.By {
				n++
			}
		}
		if n >= maxRevocations {
			return false, ErrFull
		}
		// Base64 has no slash in this form, and the digest is ours.
		if r.dir != "" {
			if err := durable.WriteJSON(filepath.Join(r.dir, "revocations", digest.String()+".json"), s); err != nil {
				return false, err
			}
		}
	}
	r.revoked[digest] = revocation{rev, s}
	r.changed()
	list := r.revocations()
	for name, m := range r.members {
		if _, out := membership.Revoked(r.mesh, m.Certs, list); out {
			delete(r.members, name)
			delete(r.whose, m.Record.Record.Digest())
			delete(r.whose, m.Signed.Digest())
			if err := r.removeFiles(name); err != nil {
				return true, err
			}
		}
	}
	return true, nil
}

// Revoked says whether a member with that chain is out.
func (r *Roster) Revoked(certs []membership.Certificate) (membership.Revocation, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return membership.Revoked(r.mesh, certs, r.revocations())
}

// RevocationsOf returns the revocations of those keys, as they travel.
func (r *Roster) RevocationsOf(certs []membership.Certificate) (list []membership.Signed) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, x := range r.revoked {
		if slices.ContainsFunc(certs, func(c membership.Certificate) bool { return c.Key == x.Key }) {
			list = append(list, x.signed)
		}
	}
	return list
}

// Revocations returns all revocations as they travel, and a digest of the
// set, which is empty for an empty one.
func (r *Roster) Revocations() (list []membership.Signed, digest string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var names []string
	for d, x := range r.revoked {
		list = append(list, x.signed)
		names = append(names, d.String())
	}
	if len(list) == 0 {
		return nil, ""
	}
	slices.Sort(names)
	return list, membership.HashOf([]byte(strings.Join(names, "\n"))).Short()
}

func (r *Roster) revocations() []membership.Revocation {
	out := make([]membership.Revocation, 0, len(r.revoked))
	for _, x := range r.revoked {
		out = append(out, x.Revocation)
	}
	return out
}
