package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"cloudy/builder/fail"
	"cloudy/builder/qemu"
)

// bootSector writes a disk whose boot sector prints a text on the first
// serial port (\n as in C) and then halts, resets or powers off; with
// -writes it changes the disk's second sector first, and powers off:
//
//	bootsector [-writes] FILE TEXT [halt | reset | off]
func bootSector(ts *testscript.TestScript, neg bool, args []string) {
	writes := len(args) > 0 && args[0] == "-writes"
	end := "halt"
	if writes {
		args, end = args[1:], "off"
	}
	if len(args) == 3 {
		end = args[2]
	}
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: bootsector [-writes] FILE TEXT [halt | reset | off]")
	}
	text := strings.ReplaceAll(args[1], `\n`, "\r\n")
	var code []byte
	if writes {
		// int 13h, AH=3: write one sector, cylinder 0, sector 2, of the disk
		// that the BIOS names in DL, from where this code is.
		code = append(code, 0x31, 0xc0, 0x8e, 0xc0, // xor ax, ax; mov es, ax
			0xb8, 0x01, 0x03, 0xbb, 0x00, 0x7c, 0xb9, 0x02, 0x00, 0xb6, 0x00, 0xcd, 0x13)
	}
	// The text stands behind the code and ends with a zero.
	print := []byte{
		0x31, 0xc0, 0x8e, 0xd8, // xor ax, ax; mov ds, ax
		0xbe, 0, 0, // mov si, text
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8, // l: lodsb; test al, al; jz e; out dx, al; jmp l
	}
	tail := map[string][]byte{
		"halt":  {0xf4, 0xeb, 0xfd},                                        // hlt, for ever
		"reset": {0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd},                // by the keyboard controller
		"off":   {0xba, 0x04, 0x06, 0xb8, 0, 0x20, 0xef, 0xf4, 0xeb, 0xfd}, // ACPI's PM1a_CNT of this machine: S5
	}[end]
	at := 0x7c00 + len(code) + len(print) + len(tail)
	print[5], print[6] = byte(at), byte(at>>8)
	disk := make([]byte, 1<<20)
	n := copy(disk, append(append(append(code, print...), tail...), text...))
	if n > 509 {
		ts.Fatalf("the text is too long for a sector")
	}
	disk[510], disk[511] = 0x55, 0xaa
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), disk, 0o644))
}

// cloudy is this test as the program, run in a folder of its own with the
// store that boot tests share.
func cloudy(t *testing.T, dir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "cloudy") // testscript goes by the name
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	cache := os.Getenv("CLOUDY_TEST_CACHE")
	if cache == "" {
		cache = filepath.Join(os.TempDir(), "cloudy-test-cache")
	}
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir, c.Env = dir, append(os.Environ(), "CLOUDY_CACHE="+cache)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 20 * time.Second
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err = c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// TestNode builds the node as a user would, boots it by every firmware in
// the QEMU of the tools root and looks into it. It takes minutes.
func TestNode(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a machine three times")
	}
	dir := t.TempDir()
	_, stderr, code := cloudy(t, dir, "build", "node:vm")
	switch code {
	case 0:
	case fail.Network.ExitCode(), fail.Host.ExitCode():
		missing(t, "node cannot be built here: "+stderr)
	default:
		t.Fatalf("build: exit status %d\n%s", code, stderr)
	}

	t.Run("shell", func(t *testing.T) {
		for _, tc := range []struct {
			name, want string
			args       []string
			code       int
		}{
			{"change", "root\n", []string{"shell", "node", "--", "sh", "-c", "rm /etc/debian_version; touch /changed; id -un"}, 0},
			{"thrown away", "13", []string{"shell", "node", "--", "sh", "-c", "test ! -e /changed && cat /etc/debian_version"}, 0},
			{"finished root", "cloudy\n", []string{"shell", "node", "--", "sh", "-c", "test -x /usr/lib/cloudy/ready && cat /etc/hostname"}, 0},
			{"packages alone", "", []string{"shell", "node", "--at", "packages", "--", "test", "!", "-e", "/usr/lib/cloudy/ready"}, 0},
			{"no network", "1\n", []string{"shell", "node", "--", "sh", "-c", "ip -o link | wc -l"}, 0},
			{"exit status", "", []string{"shell", "node", "--", "sh", "-c", "exit 42"}, 42},
			{"unknown step", "", []string{"shell", "node", "--at", "paint"}, fail.User.ExitCode()},
		} {
			stdout, stderr, code := cloudy(t, dir, tc.args...)
			if code != tc.code || !strings.HasPrefix(stdout, tc.want) {
				t.Errorf("%s: exit status %d, output %q\n%s", tc.name, code, stdout, stderr)
			}
		}
	})

	// By BIOS, the one of two. The other firmwares are check's.
	t.Run("pair", func(t *testing.T) { testPair(t, filepath.Join(dir, "out", "node-amd64.raw")) })

	t.Run("check", func(t *testing.T) {
		stdout, stderr, code := cloudy(t, dir, "check", "node:vm", "--firmware", "uefi,secure-boot", "--json", "--console", "console.log", "--timeout", "20m")
		t.Logf("%s%s", stdout, stderr)
		var list []checked
		if err := json.Unmarshal([]byte(stdout), &list); err != nil {
			t.Fatalf("exit status %d: %v", code, err)
		}
		if code != 0 || len(list) != 2 {
			t.Errorf("exit status %d after %d boots", code, len(list))
		}
		for i, want := range []string{"uefi, secure boot off", "uefi, secure boot on"} {
			console, err := os.ReadFile(filepath.Join(dir, "console-"+[]string{"uefi", "secure-boot"}[i]+".log"))
			if err != nil || !strings.Contains(string(console), "CLOUDY-BOOT "+want) || !strings.Contains(string(console), "CLOUDY-READY healthy") ||
				!strings.Contains(string(console), "CLOUDY-AGENT identity done, network done, join waiting") {
				t.Errorf("the console of boot %d does not say %q: %v", i, want, err)
			}
		}
	})
}

// TestShellAtStep looks at the steps of an image one of whose commands fails.
func TestShellAtStep(t *testing.T) {
	if testing.Short() {
		t.Skip("installs packages of the real archive")
	}
	dir := t.TempDir()
	err := os.WriteFile(filepath.Join(dir, "recipe.hcl"), []byte(`
archive "debian" {
  suites = ["trixie"]
}

image "small" {
  variant  = "essential"
  locale   = "ca_ES.UTF-8"
  file "/etc/motd" {
    content = "hello\n"
  }
  run "first" {
    command = ["touch", "/first"]
  }
  run "boom" {
    script = "touch /boom; exit 3"
  }
}
`), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	_, stderr, code := cloudy(t, dir, "shell", "small", "--at", "packages", "--", "test", "!", "-e", "/first")
	if code == fail.Network.ExitCode() || code == fail.Host.ExitCode() {
		missing(t, stderr)
	}
	if code != 0 {
		t.Fatalf("packages: exit status %d\n%s", code, stderr)
	}
	for _, tc := range []struct {
		at, script string
		code       int
	}{
		{"packages", "locale -a | grep -qx ca_ES.utf8 && grep -qx 'ca_ES.UTF-8 UTF-8' /etc/locale.gen", 0},
		{"customise", "grep hello /etc/motd && test ! -e /first && grep -rqx LANG=ca_ES.UTF-8 /etc/default/locale /etc/locale.conf", 0},
		{"run first", "test ! -e /first", 0},
		{"boom", "test -e /first && test ! -e /boom", 0},
		{"", "true", fail.Build.ExitCode()}, // it cannot be finished
		{"second", "true", fail.User.ExitCode()},
	} {
		if _, stderr, code := cloudy(t, dir, "shell", "small", "--at", tc.at, "--", "sh", "-c", tc.script); code != tc.code {
			t.Errorf("at %q: exit status %d, want %d\n%s", tc.at, code, tc.code, stderr)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		name, firmware, said, about string
		err                         error
		state, reason               string
	}{
		{"healthy", "bios", "CLOUDY-READY healthy\r", "bios", nil, "healthy", ""},
		{"an older image", "uefi", "CLOUDY-READY healthy\r", "", nil, "healthy", ""},
		{"Secure Boot off", "secure-boot", "CLOUDY-READY healthy\r", "uefi, secure boot off", nil, "broken", "instead of"},
		{"degraded", "bios", "CLOUDY-READY degraded: a.service,b.mount\r", "", nil, "degraded", "a.service, b.mount"},
		{"panic", "bios", "Kernel panic - not syncing: no init", "", nil, "broken", "no init"},
		{"emergency", "bios", "You are in emergency mode", "", nil, "broken", "shell for emergencies"},
		{"refused", "secure-boot", "Security Violation", "", nil, "broken", "Secure Boot refused"},
		{"silence", "bios", "", "", qemu.ErrTimeout, "timeout", "no word"},
		{"reset", "bios", "", "", qemu.ErrEnded, "ended", "ended"},
	} {
		r := checked{Firmware: tc.firmware}
		r.judge(tc.said, tc.err, tc.about)
		if r.State != tc.state || !strings.Contains(r.Reason, tc.reason) {
			t.Errorf("%s: %s, %q", tc.name, r.State, r.Reason)
		}
	}
}

func TestJudgeAgent(t *testing.T) {
	for _, tc := range []struct {
		name, said, state string
		wanted            bool
	}{
		{"no agent", "", "healthy", false},
		{"silent", "", "broken", true},
		{"uninvited", "identity done, network done, join waiting", "healthy", true},
		{"no identity", "identity failed", "broken", true},
		{"a file", "identity done, network waiting", "healthy", false},
	} {
		r := checked{State: "healthy"}
		r.judgeAgent(tc.wanted, tc.said)
		if r.State != tc.state || r.Agent != tc.said {
			t.Errorf("%s: %+v", tc.name, r)
		}
	}
}

func TestMegabytes(t *testing.T) {
	for s, want := range map[string]int{"512": 512, "512M": 512, "2G": 2048, "2GiB": 2048, "1GB": 1024, "": 0, "G": 0, "-1": 0, "1T": 0, "1.5G": 0} {
		if got, err := megabytes(s); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
}

func TestPlainLine(t *testing.T) {
	for in, want := range map[string]string{
		"\x1b[!p\x1b]104\x1b\\\x1b[?7h\x1b[6nCLOUDY-BOOT bios\r": "CLOUDY-BOOT bios",
		"[\x1b[0;32m  OK  \x1b[0m] Started\r":                    "[  OK  ] Started",
		"\x1b]0;title\x07tab\there":                              "tab\there",
		"":                                                       "",
	} {
		if got := plainLine([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
