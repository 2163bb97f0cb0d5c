package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/identity"
	"cloudy/firstboot/join"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/seed"
)

// Identity runs the first stage alone, as root, for the early unit.
func (a *Agent) Identity(ctx context.Context) (string, error) {
	clean := durable.Clean(a.path(StateDir))
	detail, err := a.makeIdentity(ctx)
	return detail, errors.Join(clean, err, a.files.Own(User, tincDir))
}

// stageIdentity gives the system what no other has. A daemon that is not root
// only looks: the early unit has done it, or does it now.
func (a *Agent) stageIdentity(ctx context.Context) (string, error) {
	if a.privileged() {
		return a.makeIdentity(ctx)
	}
	id, err := a.files.Load()
	if errors.Is(err, fs.ErrNotExist) {
		if err := a.wish(ctx, "identity", Wish{Identity: true}); err != nil {
			return "", err
		}
		return "", fmt.Errorf("the keys are being made: %w", errWaiting)
	}
	if err != nil {
		return "", err
	}
	a.mu.Lock()
	old := a.becoming
	a.mu.Unlock()
	if old == id.Name() {
		return "", fmt.Errorf("new keys are being made: %w", errWaiting)
	}
	data, err := os.ReadFile(a.path("etc/hostname"))
	if err != nil {
		return "", err
	}
	return a.is(id, strings.TrimSpace(string(data))), nil
}

// is takes up the identity. The one that it has already stays, for others
// read it meanwhile.
func (a *Agent) is(id *identity.Identity, host string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.id == nil || a.id.Name() != id.Name() || !bytes.Equal(a.id.RSAPublic(), id.RSAPublic()) || a.id.Copied != id.Copied {
		a.id, a.asker = id, join.NewClient(id.Private())
	}
	a.host, a.status.Host, a.becoming = host, host, ""
	return fmt.Sprintf("%s, %s", host, id.Name())
}

// client asks members as who the node is now.
func (a *Agent) client() *join.Client {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asker
}

func (a *Agent) makeIdentity(ctx context.Context) (string, error) {
	// Who may log in comes first: nothing below may cost the way in.
	given, ok := a.files.Provisioned()
	if !ok || !a.admittedOnDisk() {
		a.importSeeds(ctx, !ok)
		given, _ = a.files.Provisioned()
	}
	if _, err := a.files.Load(); errors.Is(err, fs.ErrNotExist) {
		a.waitEntropy()
	}
	id, rep, err := a.files.Ensure(ctx, func() error { return a.forgetMesh(ctx) })
	if err != nil {
		// A disk that is full, or has lost the keys: who repairs it comes by SSH.
		_, e := a.files.EnsureSSHKeys("cloudy")
		return "", errors.Join(err, e)
	}
	if rep.Cloned {
		given.HostName = "" // the other machine's
		a.log.Warn("this system was copied from another node; it has new keys and must be invited anew")
	}
	host, force := given.HostName, true
	if host == "" {
		host = a.conf.HostName
	}
	if host == "" {
		host, force = "cloudy-"+string(id.Name())[1:7], false
	}
	named, errName := a.files.EnsureHostName(host, force)
	if errName == nil {
		host = named
		errName = a.setKernelHostName(host)
	}
	_, errID := a.files.EnsureMachineID()
	_, errSSH := a.files.EnsureSSHKeys(host)
	if err := errors.Join(errName, errID, errSSH); err != nil {
		return "", err
	}
	return a.is(id, host), nil
}

// admittedOnDisk says whether the node has a place in a mesh.
func (a *Agent) admittedOnDisk() bool {
	_, err := os.Stat(a.statePath(standingFile))
	return err == nil
}

// importSeeds looks at the boot partition and the drives, once in a process.
// A system that was given something, or is in a mesh, takes no more of them
// but invitations.
func (a *Agent) importSeeds(ctx context.Context, provision bool) {
	if a.imported {
		return
	}
	a.imported = true
	list, errs := a.seeds.Import()
	if provision && !a.admittedOnDisk() {
		errs = append(errs, a.files.Provision(ctx, list)...)
	}
	for _, err := range errs {
		a.log.Warn("seed", "error", err)
	}
	for _, p := range list {
		if !p.Empty() {
			a.log.Info("seed", "from", p.Origin, "host", p.HostName, "keys", len(p.SSHKeys), "users", len(p.Users), "taken", provision && !a.admittedOnDisk())
		}
	}
}

// waitEntropy says why nothing goes on where the kernel has no random numbers
// yet; the keys are made when it has (getrandom(2) blocks until then).
func (a *Agent) waitEntropy() {
	var b [1]byte
	if _, err := unix.Getrandom(b[:], unix.GRND_NONBLOCK); errors.Is(err, unix.EAGAIN) {
		a.log.Warn("waiting for the kernel's random numbers: a board without a source of them takes a while at its first boot")
	}
}

// spent wipes an invitation that was used, where it lies on a disk.
func (a *Agent) spent(ctx context.Context, s seed.Seed) error {
	if a.seeds.Own(s) {
		return a.seeds.Used(s)
	}
	if err := a.seeds.Forget(); err != nil {
		return err
	}
	// By itself: there may be several, and a wish is carried out later.
	return a.wish(ctx, "wipe-"+membership.HashOf([]byte(s.Token)).Short(), Wish{Wipe: s.Token})
}
