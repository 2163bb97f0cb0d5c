package join

import (
	"crypto/ed25519"
	"path/filepath"
	"testing"
	"time"

	"cloudy/firstboot/membership"
)

func nameOf(k ed25519.PrivateKey) membership.Name { return membership.KeyOf(k).Name() }

func TestApproval(t *testing.T) {
	w := newWorld(t)
	token, v := w.invite(Offer{Approve: true, Uses: 2})
	good, bad, late := newKey(), newKey(), newKey()
	for range 2 { // to ask again is not to wait twice
		for _, k := range []ed25519.PrivateKey{good, bad} {
			_, err := w.join(k, token, v)
			wantCode(t, err, CodePending)
		}
	}
	if list := w.ledger.Waiting(); len(list) != 2 || list[0].Key != membership.KeyOf(good) {
		t.Fatalf("waiting: %+v", list)
	}
	if err := w.ledger.Decide(nameOf(late), true); err == nil {
		t.Error("one who never asked is approved")
	}
	for k, yes := range map[*ed25519.PrivateKey]bool{&good: true, &bad: false} {
		if err := w.ledger.Decide(nameOf(*k), yes); err != nil {
			t.Fatal(err)
		}
	}
	// What was decided is on disk.
	var err error
	if w.ledger, err = OpenLedger(filepath.Join(w.dir, "invitations.json"), w.clock); err != nil {
		t.Fatal(err)
	}
	w.at = w.serve(w.private, w.ledger)
	_, err = w.join(bad, token, v)
	wantCode(t, err, CodeDenied)
	// The one that was approved comes back after the expiry: it asked in
	// time. One that comes only then does not wait.
	w.pass(2 * time.Hour)
	if _, err := w.join(good, token, v); err != nil {
		t.Errorf("approved: %v", err)
	}
	_, err = w.join(late, token, v)
	wantCode(t, err, CodeExpired)
	if list := w.ledger.Waiting(); len(list) != 0 {
		t.Errorf("still waiting: %+v", list)
	}
	// Somebody changes their mind.
	if err := w.ledger.Decide(nameOf(bad), true); err != nil {
		t.Fatal(err)
	}
	if _, err := w.join(bad, token, v); err != nil {
		t.Errorf("approved after all: %v", err)
	}
}

// TestApprovalFlood: who has one invitation can make any number of keys.
func TestApprovalFlood(t *testing.T) {
	w := newWorld(t)
	token, v := w.invite(Offer{Approve: true})
	for range maxWaiting {
		_, err := w.join(newKey(), token, v)
		wantCode(t, err, CodePending)
	}
	_, err := w.join(newKey(), token, v)
	wantCode(t, err, CodeBusy)
	if n := len(w.ledger.Waiting()); n != maxWaiting {
		t.Errorf("%d wait", n)
	}
}
