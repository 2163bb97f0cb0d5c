package rootfs

import (
	"errors"
	"strings"
	"testing"

	"cloudy/builder/sandbox"
)

// TestBlame: of many packages that one dpkg configures, the one that failed
// is named, with what dpkg says of it, and without the whole command line.
func TestBlame(t *testing.T) {
	var at, done []string
	st := dpkgStatus{processing: func(n string) { at = append(at, n) }, installed: func(n string) { done = append(done, n) }}
	for line := range strings.Lines(`processing: configure: libc6:amd64
status: libc6:amd64: half-configured
status: libc6:amd64: installed
processing: configure: locales:all
status: locales : error : installed locales package post-installation script subprocess returned error exit status 255
processing: configure: needs-locales:all
status: needs-locales : error : dependency problems - leaving unconfigured
processing: configure: tzdata:all
status: tzdata:all: installed
`) {
		st.take(strings.TrimSuffix(line, "\n"))
	}
	if got := strings.Join(at, " "); got != "libc6:amd64 locales:all needs-locales:all tzdata:all" {
		t.Errorf("it was at %s", got)
	}
	if got := strings.Join(done, " "); got != "libc6:amd64 tzdata:all" {
		t.Errorf("configured: %s", got)
	}
	e := &ScriptError{What: "dpkg", Output: []string{"one", "two"}, Err: &sandbox.ExitError{Args: []string{"dpkg", "--configure", "a", "b"}, Code: 1, Output: "two"}}
	st.blame(e)
	const want = "configure locales: installed locales package post-installation script subprocess returned error exit status 255\n| one\n| two"
	if e.Error() != want {
		t.Errorf("got %q\nwant %q", e, want)
	}

	st = dpkgStatus{current: "libc6:amd64"} // killed while it was there
	e = &ScriptError{What: "dpkg", Err: &sandbox.ExitError{Args: []string{"dpkg"}, Code: 2}}
	if st.blame(e); e.Error() != "configure libc6:amd64: exit status 2" {
		t.Errorf("got %q", e)
	}
	e = &ScriptError{What: "run x", Err: errors.New("no such program")}
	if new(dpkgStatus).blame(e); e.Error() != "run x: no such program" {
		t.Errorf("got %q", e)
	}
}
