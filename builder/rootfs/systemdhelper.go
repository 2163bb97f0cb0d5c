package rootfs

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the stand-in
	"encoding/hex"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"cloudy/builder/sandbox"
)

// SystemdHelper stands for deb-systemd-helper, which a first install calls by
// the dozen at 40 ms of Perl each. It does what they all ask for (the unit is
// not masked; was it enabled; enable it, note it) as the real program does, and
// hands everything else to that, which is bound to another name.
//
//go:embed deb-systemd-helper.sh
var SystemdHelper []byte

const (
	helperPath = "usr/bin/deb-systemd-helper"
	realHelper = "/run/cloudy-deb-systemd-helper"
)

// knownHelpers are the SHA-256 of the programs that SystemdHelper was compared
// with, verb by verb (integration.TestReference). Of others it only answers
// what comes down to looking for a file: they differ in how they enable a unit.
var knownHelpers = []string{
	"a895d5f077651960b6ca4ed9c53f8b36eae422ae170f61c972d0c6579e9f8732", // init-system-helpers 1.69 (trixie)
}

// known says whether the SHA-256 of a program is in the list.
func known(program []byte, list []string) bool {
	sum := sha256.Sum256(program)
	return slices.Contains(list, hex.EncodeToString(sum[:]))
}

// systemdHelper returns the binds that put the stand-in in place.
func (h *held) systemdHelper() []sandbox.Bind {
	st, ok, err := h.in.placer.dirs.lstat(helperPath)
	if err != nil || !ok || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	script := SystemdHelper
	if data, err := h.in.db.root.ReadFile(helperPath); err != nil || !known(data, knownHelpers) {
		script = bytes.Replace(script, []byte("\nknown=1"), []byte("\nknown="), 1)
	}
	// The real helper is bound first: after its stand-in is there, that is what
	// the path means.
	return []sandbox.Bind{
		{Source: filepath.Join(h.in.Root, helperPath), Target: realHelper},
		{Data: script, Mode: 0o755, Target: "/" + helperPath},
	}
}
