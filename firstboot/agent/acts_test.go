package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cloudy/firstboot/membership"
	"cloudy/firstboot/nodeconfig"
	"cloudy/firstboot/page"
)

// rooted is an agent that is the root of a mesh, and runs nothing.
func rooted(t testing.TB) *Agent {
	t.Helper()
	a := wishful(t)
	// Behind a test's back there may be no address to invite to.
	a.conf.Mesh.Advertise = []string{"10.0.0.1"}
	if _, err := a.makeIdentity(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.found("test"); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestPublishTooMuch: one more than the mesh takes is refused when it is
// published, and does not keep all others from being told.
func TestPublishTooMuch(t *testing.T) {
	a := wishful(t)
	a.conf.Services = []nodeconfig.Service{{Name: "web", Announce: &nodeconfig.Announce{Type: "_http._tcp", Port: 80}}}
	s := func(i int) membership.Service {
		return membership.Service{Name: fmt.Sprint("s", i), Type: "_http._tcp", Port: 1}
	}
	for i := range nodeconfig.MaxAnnounced - 1 {
		if _, err := a.publish(t.Context(), s(i)); err != nil {
			t.Fatal(i, err)
		}
	}
	if _, err := a.publish(t.Context(), s(99)); err == nil || !strings.Contains(err.Error(), "at most 64") {
		t.Errorf("one too many: %v", err)
	}
	if _, err := a.publish(t.Context(), s(0)); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if _, err := a.unpublish(t.Context(), s(0)); err != nil {
		t.Error(err)
	}
	if _, err := a.publish(t.Context(), s(99)); err != nil {
		t.Errorf("in the place of another: %v", err)
	}
	if n := len(a.announced()); n > nodeconfig.MaxAnnounced {
		t.Errorf("%d are announced", n)
	}
}

// TestAnnouncedName: what a recipe says of a service may be longer than a name
// on the network.
func TestAnnouncedName(t *testing.T) {
	a := wishful(t)
	long := strings.Repeat("A very good service. ", 4)
	for i, text := range []string{"The wiki", long, ""} {
		name := fmt.Sprint("s", i)
		a.conf.Services = append(a.conf.Services, nodeconfig.Service{
			Name: name, Description: text, Enabled: true, Announce: &nodeconfig.Announce{Type: "_http._tcp", Port: 1000 + i},
		})
		a.health[name] = serviceHealth{ok: true, at: time.Now()}
	}
	var names []string
	for _, s := range a.announced() {
		names = append(names, s.Name)
		if err := s.Check(); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(names, ", "); got != "The wiki, s1, s2" {
		t.Errorf("announced as %s", got)
	}
}

// TestActsDuringReset: whoever asks while a reset takes the mesh away is told
// so.
func TestActsDuringReset(t *testing.T) {
	a := rooted(t)
	over := make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		for {
			select {
			case <-over:
				return
			default:
			}
			if _, err := a.invite(t.Context(), InviteRequest{Lifetime: time.Hour, Uses: 1}); err != nil && !errors.Is(err, errNoMember) {
				failed <- err
				return
			}
			a.revoke(t.Context(), RevokeRequest{Name: "c000000000000"})
		}
	}()
	for range 30 {
		if err := a.forgetMesh(t.Context()); err != nil {
			t.Error(err)
		}
		if err := a.found("test"); err != nil {
			t.Error(err)
		}
	}
	close(over)
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

// TestPageErrors: what the page has words of its own for is told as that.
func TestPageErrors(t *testing.T) {
	a := wishful(t)
	ask := func() error {
		_, err := pageNode{a}.Invite(t.Context(), page.InviteRequest{Lifetime: time.Hour, Uses: 1})
		return err
	}
	if err := ask(); !errors.Is(err, page.ErrNotMember) {
		t.Errorf("in no mesh: %v", err)
	}
	if err := (pageNode{a}).Join(t.Context(), "hello"); !errors.Is(err, page.ErrNoInvitation) {
		t.Errorf("no invitation: %v", err)
	}
	a = rooted(t)
	if err := ask(); err != nil {
		t.Error(err)
	}
	if err := (pageNode{a}).Join(t.Context(), "hello"); !errors.Is(err, page.ErrAlreadyMember) {
		t.Errorf("a member joins: %v", err)
	}
	plain := slices.Clone(a.certs)
	plain[0].Role = membership.RoleNode
	a.certs = plain
	if err := ask(); !errors.Is(err, page.ErrMayNotInvite) {
		t.Errorf("a plain member: %v", err)
	}
}
