package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"cloudy/builder/qemu"
)

// pairScript is what each of the two nodes does once it is up, as somebody on
// its console would: it looks. All that makes it a member, and the service
// that it announces, come from the image and its seed. Its argument says which
// of the two it is.
const pairScript = `
exec >/dev/console 2>&1
# Twice: a message of the kernel may fall into a line.
say() { for n in 1 2; do echo; echo "PAIR $* up=$(cut -d ' ' -f 1 /proc/uptime)"; done; }
until cloudy-node status >/tmp/status 2>&1; do sleep 1; done
say member "$(head -n 1 /tmp/status)"
if [ "$1" = one ]; then
	invitation=$(cloudy-node invite --no-qr 2>/dev/null)
	for n in 1 2; do echo; echo "PAIR invitation $invitation end"; done
fi
other() { grep "$1" | grep -v "$(hostname)" >/tmp/seen; }
until cloudy-node search _ssh._tcp | other '^SSH.*_ssh._tcp'; do sleep 1; done
say catalogue "$(head -n 1 /tmp/seen)"
until avahi-browse --parsable --no-db-lookup --resolve --terminate _ssh._tcp 2>/dev/null | other '^=;cloudy;.*_ssh._tcp'; do sleep 1; done
say avahi "$(head -n 1 /tmp/seen)"
say disk "$(df -B1 --output=size / | tail -n 1)"
say seed "$(hostname) $(cat /root/.ssh/authorized_keys)"
say health "$(systemctl --failed --plain --no-legend | wc -l) failed"
test "$1" = one || { sync; systemctl poweroff; }
`

// pairUnit runs the script, both handed over as credentials: the image stays
// as it was built.
const pairUnit = `[Unit]
After=cloudy-node.service
[Service]
Type=exec
LoadCredential=pair.script
ExecStart=/bin/sh %%d/pair.script %s
`

// pairNetwork is an address for a cable on which nobody gives out any
// (systemd-network-generator(8) takes the credential).
const pairNetwork = "[Match]\nName=en* eth*\n[Network]\nAddress=192.0.2.%d/24\n"

// pairLine is a line of the script on the console.
func pairLine(what string) string { return `PAIR ` + what + ` ([^\r\n]*) up=([0-9.]+)\r?\n` }

// pairDrive makes the CD with which virtual machines are told who they are
// (cloud-init's documentation, "NoCloud"), as Proxmox and libvirt have it.
func pairDrive(dir, hostname string) (string, error) {
	for name, text := range map[string]string{
		"meta-data": "instance-id: pair\nlocal-hostname: " + hostname + "\n",
		"user-data": "#cloud-config\nssh_authorized_keys:\n  - " + testKey + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	iso := filepath.Join(dir, "cidata.iso")
	cmd := exec.Command("xorriso", "-as", "mkisofs", "-quiet", "-V", "cidata", "-J", "-R", "-o", iso, "user-data", "meta-data")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("xorriso: %w: %s", err, out)
	}
	return iso, nil
}

// testPair boots two copies of the image on one cable. The first has its name
// and a key from a NoCloud drive and founds a mesh.
// The second is flashed to a larger card with the first one's invitation, a
// name and a key. Hands off, each then sees the other's service, the card's
// root has grown to its end, and the invitation is gone from it.
func testPair(t *testing.T, image string) {
	for _, p := range []string{"qemu-system-x86_64", "mtype", "sgdisk", "e2fsck", "losetup", "xorriso"} {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, p+" is not installed")
		}
	}
	if HostArch() != "amd64" {
		missing(t, "the image is for another machine")
	}
	for try := 1; ; try++ {
		err := pair(t, image)
		if errors.Is(err, qemu.ErrCrashed) && try < crashes {
			t.Logf("%v; once more", err)
			continue
		}
		if err != nil {
			t.Error(err)
		}
		return
	}
}

// pairDeadline is generous: machines are emulated where there is no KVM.
const pairDeadline = 25 * time.Minute

func pair(t *testing.T, image string) error {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 2*pairDeadline)
	defer cancel()
	start := time.Now()
	since := func() time.Duration { return time.Since(start).Round(time.Second) }

	cable := "addr.type=unix,addr.path=" + filepath.Join(dir, "cable")
	drive, err := pairDrive(dir, "parlour")
	if err != nil {
		return err
	}
	one, err := pairStart(ctx, t, dir, "one", qemu.Config{
		Disk: image, Snapshot: true, Drives: []qemu.Drive{{File: drive, Format: "raw", Attach: qemu.CD}}, Netdev: "stream,id=net,server=on," + cable, MAC: "52:54:00:00:00:01",
		Credentials: map[string]string{"cloudy.found": "pair", "network.network.10-pair": fmt.Sprintf(pairNetwork, 1)},
	})
	if err != nil {
		return err
	}
	defer one.Stop()
	told := func(m *qemu.Machine, node, what string) (string, error) {
		said, err := m.WaitFor(ctx, pairLine(what), pairDeadline)
		if err != nil {
			return "", fmt.Errorf("%s: %w", node, err)
		}
		f := regexp.MustCompile(pairLine(what)).FindStringSubmatch(said)
		t.Logf("%v: %s, up for %s s: %s: %s", since(), node, f[2], what, f[1])
		return f[1], nil
	}
	if _, err := told(one, "one", "member"); err != nil {
		return err
	}
	said, err := one.WaitFor(ctx, `PAIR invitation cloudy1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86} end`, pairDeadline)
	if err != nil {
		return err
	}
	invitation := strings.Fields(said)[2]

	token := filepath.Join(dir, "invitation.txt")
	if err := os.WriteFile(token, []byte(invitation+"\n"), 0o600); err != nil {
		return err
	}
	card, err := flashed(t, image, "--hostname", "attic", "--ssh-key", testKey, "--invite", "@"+token)
	if err != nil {
		return err
	}
	second := time.Now()
	two, err := pairStart(ctx, t, dir, "two", qemu.Config{
		Disk: card, Netdev: "stream,id=net,server=off," + cable, MAC: "52:54:00:00:00:02",
		Credentials: map[string]string{"network.network.10-pair": fmt.Sprintf(pairNetwork, 2)},
	})
	if err != nil {
		return err
	}
	defer two.Stop()
	for _, what := range []string{"member", "catalogue", "avahi"} {
		if _, err := told(two, "two", what); err != nil {
			return err
		}
	}
	t.Logf("the second node: from power on to discovered in %v", time.Since(second).Round(time.Second))
	size, err := told(two, "two", "disk")
	if err != nil {
		return err
	}
	if n, err := strconv.ParseInt(strings.TrimSpace(size), 10, 64); err != nil || n < cardSize*8/10 {
		t.Errorf("the root has %s bytes on a card of %d", size, cardSize)
	}
	if said, err := told(two, "two", "seed"); err != nil || said != "attic "+testKey {
		t.Errorf("of its seed the second node says %q, %v", said, err)
	}
	for _, m := range []struct {
		*qemu.Machine
		name string
		says []string
	}{{two, "two", []string{"health"}}, {one, "one", []string{"catalogue", "avahi", "disk", "seed", "health"}}} {
		for _, what := range m.says {
			said, err := told(m.Machine, m.name, what)
			if err != nil {
				return err
			}
			if what == "health" && said != "0 failed" {
				t.Errorf("%s: %s", m.name, said)
			}
			if what == "seed" && said != "parlour "+testKey {
				t.Errorf("of its drive the first node says %q", said)
			}
		}
	}
	if err := two.Wait(ctx); err != nil {
		return err
	}
	if err := grown(card); err != nil {
		t.Error(err)
	}
	left, err := cardSeed(card)
	if err != nil || strings.Contains(left, invitation) || !strings.Contains(left, "has joined") {
		t.Errorf("the invitation on the boot partition: %q, %v", left, err)
	}
	return nil
}

// pairStart starts one of the two. Its console goes into dir, or where
// CLOUDY_TEST_LOG says.
func pairStart(ctx context.Context, t *testing.T, dir, name string, c qemu.Config) (*qemu.Machine, error) {
	if logs := os.Getenv("CLOUDY_TEST_LOG"); logs != "" {
		dir = logs
	}
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { log.Close() })
	c.Arch, c.Firmware, c.SerialLog = "amd64", qemu.BIOS, log
	c.Credentials["pair.script"] = pairScript
	c.Credentials["systemd.extra-unit.pair.service"] = fmt.Sprintf(pairUnit, name)
	c.Credentials["systemd.unit-dropin.multi-user.target"] = "[Unit]\nWants=pair.service\n"
	return qemu.Start(ctx, c)
}
