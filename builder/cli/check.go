package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/builder/qemu"
)

// How long a boot may take when nobody says.
const (
	kvmTimeout = 5 * time.Minute
	tcgTimeout = 20 * time.Minute
)

// checked is the outcome of one boot.
type checked struct {
	Image       string   `json:"image"`
	Disk        string   `json:"disk"`
	Firmware    string   `json:"firmware"`
	Accelerator string   `json:"accelerator"` // kvm or tcg
	State       string   `json:"state"`       // healthy, degraded, broken, timeout or ended
	Reason      string   `json:"reason,omitempty"`
	Units       []string `json:"units,omitempty"` // failed ones
	Agent       string   `json:"agent,omitempty"` // how far the node's agent is, stage by stage
	Seconds     float64  `json:"seconds"`
	Console     string   `json:"console,omitempty"` // its last lines, when not healthy
}

func (a *App) checkCommand() *cobra.Command {
	var f bootFlags
	var wanted []string
	var timeout time.Duration
	var console string
	var asJSON bool
	c := &cobra.Command{
		Use:     "check [IMAGE[:TARGET] | FILE]",
		GroupID: groupImage,
		Short:   "Boot an image without hands and say whether it is healthy",
		Long: `Boot an image in a virtual machine and wait for the line in which the node itself
says how it is: the unit cloudy-ready.service writes "CLOUDY-READY healthy", or
"CLOUDY-READY degraded:" with the units that failed, to the console, and before it
how far the node's agent is. A node without an invitation is healthy when it has its
identity and waits for one. The image (by
default the target "vm" of the image "node") is built first if need be; the FILE of a
disk image or an ISO is taken as it is. Cards for the boards virt and raspberry-pi
are booted by U-Boot, and by QEMU's Raspberry Pi 3. The machine has no network but its
own, and what it writes is thrown away.

The exit status is 0 when all boots were healthy, 1 when one was not; the reason and
the last lines of the console are shown. With --verbose the console is shown while
the machine boots.

QEMU and firmware are the builder's own (installed out of the Debian archive into its
store) unless --host-qemu is given.`,
		Example: "  cloudy check node:vm\n  cloudy check node --firmware all --json\n  cloudy check out/node-amd64.qcow2 --firmware secure-boot --console boot.log\n  cloudy check metal:metal --format iso --attach usb\n  cloudy check board:sdcard --arch arm64",
		Args:    between(0, 1), ValidArgsFunction: a.CompleteTargets,
		RunE: func(c *cobra.Command, args []string) error {
			for _, w := range wanted {
				if err := oneOf("firmware", w, firmwareNames()); err != nil {
					return err
				}
			}
			b, done, err := a.prepare(c, args, &f)
			if err != nil {
				return err
			}
			defer done()
			switch {
			case slices.Contains(wanted, "all"):
				wanted = b.possible()
			case len(wanted) == 0:
				wanted = b.possible()[:1]
			}
			var all []checked
			ctx, end := a.Progress(c.Context())
			for _, fw := range wanted {
				var r *checked
				if r, err = a.checkOne(ctx, b, fw, timeout, consoleFile(console, fw, len(wanted) > 1)); err != nil {
					break
				}
				all = append(all, *r)
			}
			end(nil, "")
			if err != nil {
				return err
			}
			return a.reportChecks(all, asJSON)
		},
	}
	f.add(c)
	c.Flags().StringSliceVar(&wanted, "firmware", nil, "boot by this `firmware`: bios, uefi, secure-boot, u-boot, raspberry-pi or all; may be given several times (default: the first that the image has)")
	c.Flags().DurationVar(&timeout, "timeout", 0, "how long a boot may take (default 5m with KVM, 20m in emulation)")
	c.Flags().StringVar(&console, "console", "", "write what the console says to a `file`; with several firmwares their names go into its name")
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	mustComplete(c, "firmware", firmwareNames())
	return c
}

// firmwareNames are the values of --firmware.
func firmwareNames() []string {
	return []string{"bios", "uefi", "secure-boot", "u-boot", "raspberry-pi", "all"}
}

// consoleFile is the name of the file for one firmware of several.
func consoleFile(name, firmware string, several bool) string {
	if name == "" || !several {
		return name
	}
	ext := filepath.Ext(name)
	return strings.TrimSuffix(name, ext) + "-" + firmware + ext
}

// crashes is how often QEMU may crash before that is the answer.
const crashes = 3

// checkOne boots by one firmware. The error is one of starting the machine;
// how it came up is in the result.
func (a *App) checkOne(ctx context.Context, b *bootable, firmware string, timeout time.Duration, console string) (*checked, error) {
	step := progress.Begin(ctx, "boot "+firmware, 0, progress.Items)
	for try := 1; ; try++ {
		r, err := bootOnce(ctx, b, firmware, timeout, console, step)
		if errors.Is(err, qemu.ErrCrashed) && try < crashes {
			progress.Warn(ctx, fmt.Sprintf("%v; the image is booted again", err))
			continue
		}
		if err == nil && r.State != "healthy" {
			step.End(errors.New(r.Reason))
			return r, nil
		}
		return r, step.End(err)
	}
}

func bootOnce(ctx context.Context, b *bootable, firmware string, timeout time.Duration, console string, step *progress.Step) (*checked, error) {
	c, done, err := b.with(firmware)
	if err != nil {
		return nil, err
	}
	defer done()
	c.Snapshot = true
	r := &checked{Image: b.name, Disk: b.disks[b.format], Firmware: firmware}
	lines := &lineLog{step: step, said: map[string]string{}}
	c.SerialLog = lines
	if console != "" {
		f, err := os.Create(console)
		if err != nil {
			return nil, fail.Mark(fail.Host, err)
		}
		defer f.Close()
		c.SerialLog = io.MultiWriter(f, lines)
	}
	start := time.Now()
	m, err := qemu.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	defer m.Stop()
	r.Accelerator = m.Accel
	if timeout == 0 {
		timeout = tcgTimeout
		if m.Accel == "kvm" {
			timeout = kvmTimeout
		}
	}
	said, err := m.WaitFor(ctx, verdicts(), timeout)
	r.Seconds = time.Since(start).Round(100 * time.Millisecond).Seconds()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if errors.Is(err, qemu.ErrEnded) {
		if died := m.Wait(ctx); died != nil {
			return nil, fail.Mark(fail.Host, fmt.Errorf("virtual machine: %w", died))
		}
	}
	r.judge(said, err, lines.heard("CLOUDY-BOOT"))
	r.judgeAgent(b.image != nil && b.image.HasAgent(), lines.heard("CLOUDY-AGENT"))
	if r.State != "healthy" {
		r.Console = m.LastLines(consoleLines)
	}
	return r, nil
}

// consoleLines is how much of the console a failure shows.
const consoleLines = 25

// readyPattern is what cloudy-ready.service writes, to the end of the line.
const readyPattern = `CLOUDY-READY (healthy|degraded: ?[^\r\n]*)[\r\n]`

// fatal are what consoles say when a boot goes no further, and what that means.
var fatal = []struct{ pattern, means string }{
	{`Kernel panic - not syncing[^\r\n]*[\r\n]`, ""},
	{`You are in (emergency|rescue) mode`, "systemd gave up and started a shell for emergencies"},
	{`Cannot open access to console, the root account is locked`, "systemd gave up: emergency mode"},
	{`ALERT! +[^\r\n]*(does not exist|Dropping to a shell)[^\r\n]*[\r\n]`, "the initramfs did not find the root filesystem"},
	{`\(initramfs\) `, "the initramfs stopped at a shell"},
	{`grub rescue> `, "GRUB did not find its files"},
	{`Security Violation`, "Secure Boot refused a program"},
	{`No bootable device`, "the firmware found nothing to boot"},
	{`BdsDxe: No bootable option or device was found`, "the firmware found nothing to boot"},
}

// verdicts is the pattern of all lines that end the wait.
func verdicts() string {
	all := []string{readyPattern}
	for _, f := range fatal {
		all = append(all, f.pattern)
	}
	return "(?:" + strings.Join(all, "|") + ")"
}

// judge fills in the outcome: from what the console said, or why the wait
// ended, and from what the node says of its boot.
func (r *checked) judge(said string, err error, about string) {
	ready := regexp.MustCompile(readyPattern).FindStringSubmatch(said)
	switch {
	case errors.Is(err, qemu.ErrTimeout):
		r.State, r.Reason = "timeout", fmt.Sprintf("no word from cloudy-ready.service after %.0f s", r.Seconds)
	case err != nil:
		r.State, r.Reason = "ended", "the machine ended"
	case ready == nil:
		r.State, r.Reason = "broken", strings.TrimSpace(said)
		for _, f := range fatal {
			if f.means != "" && regexp.MustCompile(f.pattern).MatchString(said) {
				r.Reason = f.means
			}
		}
	case ready[1] == "healthy":
		r.State = "healthy"
		if want := bootLine(r.Firmware); about != "" && about != want {
			r.State, r.Reason = "broken", fmt.Sprintf("the node says %q instead of %q", about, want)
		}
	default:
		units := strings.TrimSpace(strings.TrimPrefix(ready[1], "degraded:"))
		r.State, r.Units = "degraded", strings.Split(units, ",")
		r.Reason = "degraded: " + strings.Join(r.Units, ", ")
	}
}

// judgeAgent takes up what the node's agent reports. An image with an agent is
// not healthy without such a report: that identity is done, and what comes
// next is done or waits for somebody else.
func (r *checked) judgeAgent(wanted bool, said string) {
	r.Agent = said
	switch {
	case r.State != "healthy":
	case said == "" && wanted:
		r.State, r.Reason = "broken", "the node's agent has not reported"
	case said != "" && !strings.HasPrefix(said, "identity done"):
		r.State, r.Reason = "broken", "the node has no identity: its agent says "+said
	}
}

// bootLine is what the node has to say of how it was booted.
func bootLine(firmware string) string {
	switch firmware {
	case "secure-boot":
		return "uefi, secure boot on"
	case "uefi":
		return "uefi, secure boot off"
	case "u-boot", "raspberry-pi":
		return "bios" // which is what the node calls all that is no UEFI
	}
	return firmware
}

// lineLog passes a console on line by line and keeps what the node says about
// itself: lines that begin with a word such as CLOUDY-BOOT.
type lineLog struct {
	step *progress.Step

	mu   sync.Mutex
	rest []byte
	said map[string]string
}

// heard is what the node said behind a word, or empty.
func (l *lineLog) heard(word string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said[word]
}

func (l *lineLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		i := slices.Index(l.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		line := plainLine(l.rest[:i])
		l.rest = l.rest[i+1:]
		for _, word := range []string{"CLOUDY-BOOT", "CLOUDY-AGENT"} {
			// A terminal's login prompt may stand before it.
			if _, s, ok := strings.Cut(line, word+" "); ok {
				l.said[word] = s
			}
		}
		if line != "" {
			l.step.Log(line)
		}
	}
}

// escapes are control sequences and strings of terminals (ECMA-48, 5.4 and 5.6).
var escapes = regexp.MustCompile(`\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\^_])`)

func plainLine(b []byte) string {
	text := escapes.ReplaceAll(b, nil)
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, string(text)))
}

func (a *App) reportChecks(all []checked, asJSON bool) error {
	healthy := !slices.ContainsFunc(all, func(r checked) bool { return r.State != "healthy" })
	if asJSON {
		if err := writeJSON(a.Out, all); err != nil {
			return err
		}
	} else {
		for _, r := range all {
			a.printCheck(&r)
		}
	}
	if !healthy {
		return exitStatus(fail.Build.ExitCode())
	}
	return nil
}

func (a *App) printCheck(r *checked) {
	color := a.colorOn(a.Out)
	if r.State == "healthy" {
		printf(a.Out, "%s  %s by %s: healthy after %.0f s (%s)\n", paint(color, "32", "ok"), r.Image, r.Firmware, r.Seconds, r.Accelerator)
		if r.Agent != "" {
			printf(a.Out, "    agent: %s\n", r.Agent)
		}
		return
	}
	printf(a.Out, "%s  %s by %s: %s, after %.0f s (%s)\n", paint(color, red, "bad"), r.Image, r.Firmware, r.Reason, r.Seconds, r.Accelerator)
	if r.Console != "" {
		printf(a.Err, "the console's last lines:\n  %s\n", strings.ReplaceAll(r.Console, "\n", "\n  "))
	}
}
