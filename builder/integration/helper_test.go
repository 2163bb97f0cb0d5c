package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cloudy/builder/rootfs"
)

// oddUnits are unit files that no package should have, and that the stand-in
// of deb-systemd-helper must treat as the real program does all the same.
var oddUnits = map[string]string{
	"odd-quoted.service":    "[Install]\nWantedBy=\"multi-user.target\" 'a.target'\n",
	"odd-case.service":      "[Install]\n wantedby=multi-user.target\nALIAS=b.service\n",
	"odd-many.service":      "[Install]\nAlias=b.service c.service\nWantedBy=a.target  b.target\nRequiredBy=c.target",
	"odd-space.service":     "[Install]\nWantedBy= a.target \nAlias=odd-space.service\nWantedBy=\n",
	"odd-first.service":     "[Install]\nAlso=odd-second.service odd-first.service\nWantedBy=a.target\n",
	"odd-second.service":    "[Install]\nWantedBy=b.target\nAlso=odd-first.service odd-third.socket\n",
	"odd-third.socket":      "[Install]\nRequiredBy=sockets.target\nAlias=b.socket\n",
	"odd-lost.service":      "[Install]\nAlso=odd-nowhere.service\nWantedBy=a.target\n",
	"odd-comment.service":   "[Install]\n#WantedBy=x.target\n;Alias=y.service\nWantedBy=a.target\nWantedBy=a.target\n",
	"odd-none.service":      "[Unit]\nDescription=nothing to install\n",
	"odd-instance@.service": "[Install]\nDefaultInstance=one\nWantedBy=multi-user.target\n",
	"odd-template@.service": "[Install]\nWantedBy=multi-user.target\n",
}

// helperRuns runs a helper on each unit, from the same state each time, and
// prints how it ended and what the state is then.
const helperRuns = `
export DPKG_MAINTSCRIPT_PACKAGE=test PATH=/usr/sbin:/usr/bin
umask 022
for instance in system user; do
	cd /usr/lib/systemd/$instance
	for unit in *.*; do
		[ -f "$unit" ] && [ ! -L "$unit" ] || continue
		case $unit in
		odd-*) sequences="unmask,debian-installed,enable,was-enabled,update-state update-state,enable enable,enable,disable mask,unmask" ;;
		*)
			grep -qE '^(WantedBy|RequiredBy|Alias|Also)' "$unit" || continue
			sequences=enable,update-state ;;
		esac
		for sequence in $sequences; do
			rm -rf /etc/systemd /var/lib/systemd
			cp -a /saved/etc/. /etc/ && cp -a /saved/var/. /var/lib/
			IFS=,
			for verb in $sequence; do
				"$1" --$instance $verb "$unit" >/dev/null 2>&1
				echo "$instance $unit $verb: $?"
			done
			unset IFS
			find /etc/systemd /var/lib/systemd -type l -printf '%p -> %l\n' -o -printf '%p %y %m\n' | sort
			grep -rs . /var/lib/systemd/deb-systemd-helper-enabled /var/lib/systemd/deb-systemd-user-helper-enabled | sort
		done
	done
done
`

// sameHelper compares the stand-in of deb-systemd-helper with the real program,
// on all units of a root, which it may change.
func sameHelper(t *testing.T, root string) {
	real, err := os.ReadFile(filepath.Join(root, "usr/bin/deb-systemd-helper"))
	if err != nil {
		skip(t, "no deb-systemd-helper in this image")
	}
	for name, content := range oddUnits {
		writeFile(t, filepath.Join(root, "usr/lib/systemd/system", name), content)
	}
	mkdir(t, filepath.Join(root, "saved"))
	chroot := func(args ...string) string {
		out, err := exec.Command("chroot", append([]string{root}, args...)...).Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return string(out)
	}
	chroot("sh", "-ec", "mkdir -p /saved/etc /saved/var; cp -a /etc/systemd /saved/etc/; cp -a /var/lib/systemd /saved/var/; rm -rf /saved/var/systemd/deb-systemd-* /saved/etc/systemd/*/*.wants")
	for name, program := range map[string][]byte{"run/cloudy-deb-systemd-helper": real, "run/stand-in": rootfs.SystemdHelper} {
		if err := os.WriteFile(filepath.Join(root, name), program, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	want := strings.Split(chroot("sh", "-c", helperRuns, "sh", "/run/cloudy-deb-systemd-helper"), "\n")
	got := strings.Split(chroot("sh", "-c", helperRuns, "sh", "/run/stand-in"), "\n")
	last := ""
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			t.Fatalf("after %s\nthe real program has %q\nthe stand-in %q", last, want[i], got[i])
		}
		if strings.Contains(want[i], ": ") {
			last = want[i]
		}
	}
	if len(want) != len(got) || len(want) < 100 {
		t.Errorf("%d and %d lines", len(want), len(got))
	}
	t.Logf("%d lines of state", len(want))
}
