package sandbox

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrNoOverlay means that this program may not mount overlayfs here.
var ErrNoOverlay = errors.New("overlayfs is not to be had in this mode")

// Overlay mounts layers (the topmost first) with upper over them at a
// directory of this program's own mount namespace, so that the program itself
// can work on the union. The function returned unmounts it. The work
// directory must be on upper's filesystem.
func (s *Sandbox) Overlay(layers []string, upper, work, at string) (func() error, error) {
	if s.mode == ModePlain || !s.entered {
		return nil, ErrNoOverlay
	}
	if err := mountOverlay(layers, upper, work, at); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoOverlay, err)
	}
	return func() error {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", at, err)
		}
		return nil
	}, nil
}
