package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"cloudy/firstboot/durable"
)

// User is the account that the daemon runs as on a node.
const User = "cloudy"

// WishDir is where the daemon, which is not root, leaves what only root can
// do. cloudy-wish.path watches it, and cloudy-wish.service carries it out and
// ends. What can be wished for is this list and no more: a daemon that was
// taken over can name no program, no unit and no file.
const WishDir = "run/cloudy/wish"

// Wish is one of them.
type Wish struct {
	// Identity makes what the system's identity lacks.
	Identity bool `json:"identity,omitempty"`

	// Reset is resetIdentity or resetFactory.
	Reset string `json:"reset,omitempty"`

	// Wipe is a token that was used: off the boot partition with it.
	Wipe string `json:"wipe,omitempty"`

	// Services starts and stops what is on and off, out of the node's
	// configuration and the choices in the state folder.
	Services bool `json:"services,omitempty"`
}

const (
	resetIdentity = "identity"
	resetFactory  = "factory"
)

// wish has something done that takes root. Without root it is done a little
// later; who wishes looks at what came of it.
func (a *Agent) wish(ctx context.Context, name string, w Wish) error {
	if a.privileged() {
		return a.carryOut(ctx, w)
	}
	return durable.WriteJSON(filepath.Join(a.path(WishDir), name+".json"), w)
}

// CarryOut is root's half: it does what the daemon wishes until there is
// nothing left. A wish that fails is told and dropped; the daemon repeats what
// it still needs.
func (a *Agent) CarryOut(ctx context.Context) error {
	// The folder is the daemon's: it could be a link, which must not lead
	// root elsewhere. The one above is made by root, in root's /run.
	run, err := os.OpenRoot(a.path(RunDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer run.Close()
	var errs []error
	for ctx.Err() == nil {
		root, err := run.OpenRoot(filepath.Base(WishDir))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
		// What begins with a dot is being written, and systemd does not see
		// it; it would start this for ever for anything else that is left.
		names, err := fs.Glob(root.FS(), "[^.]*")
		if err != nil || len(names) == 0 {
			root.Close()
			break
		}
		for _, name := range names {
			var w Wish
			err := readWish(root, name, &w)
			if e := root.RemoveAll(name); e != nil {
				root.Close()
				return e // or this would go round for ever
			}
			if err == nil {
				err = a.carryOut(ctx, w)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
		root.Close()
	}
	return errors.Join(errs...)
}

func (a *Agent) carryOut(ctx context.Context, w Wish) error {
	var errs []error
	if w.Reset == resetFactory {
		errs = append(errs, a.forgetAll())
	}
	if w.Reset != "" {
		errs = append(errs, a.files.Forget())
	}
	if (w.Identity || w.Reset != "") && !a.running {
		// In a running agent that is root the first stage does it.
		_, err := a.Identity(ctx)
		errs = append(errs, err)
	}
	if w.Wipe != "" {
		errs = append(errs, a.seeds.Wipe(w.Wipe))
	}
	if w.Services {
		errs = append(errs, a.switchUnits(ctx))
	}
	return errors.Join(errs...)
}

// switchUnits starts and enables the units of services that are on, and stops
// and disables those of the others.
func (a *Agent) switchUnits(ctx context.Context) error {
	choices := a.choices()
	var errs []error
	wanted := map[string]bool{} // by services that are on: two may share a unit
	for _, s := range a.conf.Services {
		if isOn(s, choices) {
			for _, u := range s.Units {
				wanted[u] = true
			}
		}
	}
	for _, s := range a.conf.Services {
		on := isOn(s, choices)
		_, chosen := choices[s.Name]
		for _, u := range s.Units {
			verb := "enable"
			if !on {
				// What nobody ever turned off is as the image has it.
				if wanted[u] || !chosen {
					continue
				}
				verb = "disable"
			}
			// The choice counts from the next start on, and the unit is
			// known: nothing is to be read anew, which takes systemd as
			// long as a start.
			errs = append(errs, systemctl(ctx, verb, "--now", "--no-reload", "--quiet", u))
		}
	}
	return errors.Join(errs...)
}

func systemctl(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl %s: %w: %.300s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// maxWish bounds a wish in bytes; an invitation has at most 1,200.
const maxWish = 16 << 10

// readWish reads a file of the folder, through no link, and nothing that could
// keep root waiting or fill its memory.
func readWish(root *os.Root, name string, w *Wish) error {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > maxWish {
		return errors.Join(err, errors.New("no file of a wish"))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxWish))
	if err != nil {
		return err
	}
	return json.Unmarshal(data, w)
}
