package qemu

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"cloudy/builder/fail"
)

func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func needQEMU(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		missing(t, "qemu-system-x86_64 is not installed")
	}
}

// bootSector is a disk whose boot sector runs the code.
func bootSector(t *testing.T, code ...byte) string {
	t.Helper()
	b := make([]byte, 1<<20)
	copy(b, code)
	b[510], b[511] = 0x55, 0xaa
	name := filepath.Join(t.TempDir(), "a,b.raw") // a comma must not end the name
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// say is code that writes a text to the first serial port and halts.
func say(text string, then ...byte) []byte {
	code := []byte{0xba, 0xf8, 0x03} // mov dx, 0x3f8
	for _, c := range []byte(text) {
		code = append(code, 0xb0, c, 0xee) // mov al, c; out dx, al
	}
	return append(code, append(then, 0xf4, 0xeb, 0xfd)...) // hlt; jmp to it
}

func TestBootBIOS(t *testing.T) {
	needQEMU(t)
	disk := bootSector(t, say("hello\nworld\n")...)
	var log bytes.Buffer
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	m, err := Start(t.Context(), Config{Disk: disk, Arch: "amd64", MemoryMB: 64, CPUs: 1, SerialLog: &log, Forwards: []Forward{{Guest: 22}}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	if m.Forwards[0].Host == 0 {
		t.Error("no port was chosen")
	}
	if got, err := m.WaitFor(t.Context(), `h.llo`, time.Minute); err != nil || got != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := m.WaitFor(t.Context(), "world", time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := m.WaitFor(t.Context(), "hello", 10*time.Millisecond); !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "world") {
		t.Errorf("a match is used twice, or the error has no console: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.WaitFor(ctx, "never", time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	m.Stop()
	if !strings.Contains(log.String(), "hello\nworld") {
		t.Errorf("log: %q", log.String())
	}
	if left, err := os.ReadDir(tmp); len(left) > 0 || err != nil {
		t.Errorf("%v is still there, %v", left, err)
	}
}

// TestEnds: a guest that resets, as a panic with panic=-1 does, ends the wait at once.
func TestEnds(t *testing.T) {
	needQEMU(t)
	disk := bootSector(t, say("bye", 0xb0, 0xfe, 0xe6, 0x64)...) // reset by the keyboard controller
	err := Boot(t.Context(), Config{Disk: disk, Arch: "amd64", MemoryMB: 64}, "never", 5*time.Minute)
	if !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "bye") {
		t.Errorf("error %v", err)
	}
}

func TestContextEndsIt(t *testing.T) {
	needQEMU(t)
	ctx, cancel := context.WithCancel(t.Context())
	m, err := Start(ctx, Config{Disk: bootSector(t, say("x")...), Arch: "amd64", MemoryMB: 64})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-m.ended:
	case <-time.After(3 * time.Minute):
		t.Error("QEMU outlives its context")
	}
	m.Stop()
}

// TestUEFI lets the firmware start an empty disk, which it complains about.
func TestUEFI(t *testing.T) {
	needQEMU(t)
	for _, fw := range []Firmware{UEFI, SecureBoot} {
		t.Run(string(fw), func(t *testing.T) {
			err := Boot(t.Context(), Config{Disk: bootSector(t, 0xf4), Arch: "amd64", Firmware: fw, MemoryMB: 256, CPUs: 1}, `BdsDxe|Shell`, 3*time.Minute)
			if fail.KindOf(err) == fail.Host {
				missing(t, err.Error())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	disk := bootSector(t)
	for _, tc := range []struct {
		name string
		c    Config
		kind fail.Kind
		want string
	}{
		{"no disk", Config{Disk: "/nonesuch.raw", Arch: "amd64"}, fail.User, "nonesuch"},
		{"architecture", Config{Disk: disk, Arch: "m68k"}, fail.User, "m68k"},
		{"BIOS on ARM", Config{Disk: disk, Arch: "arm64", Firmware: BIOS}, fail.User, "bios"},
		{"no QEMU", Config{Disk: disk, Arch: "amd64"}, fail.Host, "qemu-system-x86_64"},
		{"no firmware", Config{Disk: disk, Arch: "amd64", Firmware: UEFI, Root: t.TempDir()}, fail.Host, "OVMF"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.name == "no QEMU" {
				t.Setenv("PATH", t.TempDir())
			}
			m, err := Start(t.Context(), tc.c)
			if err == nil {
				m.Stop()
				t.Fatal("no error")
			}
			if fail.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v of kind %v, want %q of kind %v", err, fail.KindOf(err), tc.want, tc.kind)
			}
		})
	}
}

// TestProbe: whatever this host's /dev/kvm is like, a machine starts.
func TestProbe(t *testing.T) {
	needQEMU(t)
	c := Config{Disk: bootSector(t, probeSector()[:20]...), Arch: "amd64", MemoryMB: 32}
	m, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	m.Stop()
	there := usable(kvmDevice) && runtime.GOARCH == "amd64"
	if fails := KVMFails(t.Context()); fails != (there && m.Accel == "tcg") {
		t.Errorf("KVM fails: %v, where machines get %s and its device is there: %v", fails, m.Accel, there)
	}
	c.Accel = "tcg"
	if err := Boot(t.Context(), c, "kvm", time.Minute); err != nil {
		t.Errorf("the probe does not speak even where all is emulated: %v", err)
	}
}

func TestArguments(t *testing.T) {
	old := func(_ context.Context, p Program) error {
		_, err := io.WriteString(p.Stdout, "QEMU emulator version 7.2.17 (Debian)\n")
		return err
	}
	for _, tc := range []struct {
		name string
		c    Config
		want []string
		not  []string
	}{
		{"old TCG", Config{Accel: "tcg", Run: old}, []string{"qemu64,-cx16", "-no-reboot", "tcg,thread=multi"}, nil},
		{"KVM", Config{Accel: "kvm", Reboot: true}, []string{"kvm", "host"}, []string{"-no-reboot"}},
		{"ARM", Config{Arch: "arm64", Firmware: BIOS, Accel: "tcg"}, []string{"virt", "cortex-a72"}, nil},
		{"extra", Config{Accel: "kvm", Extra: []string{"-vga", "std"}}, []string{"-vga"}, nil},
		{"terminal", Config{Accel: "kvm", Terminal: true}, []string{"-nographic", "mon:stdio"}, []string{"-display"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := tc.c
			if c.Arch == "" {
				c.Arch = "amd64"
			}
			c.Disk = "x.raw"
			arch := machines()[c.Arch]
			c.Firmware = BIOS
			if c.Run == nil {
				c.Run = onHost
			}
			args, err := c.arguments(t.Context(), arch, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range tc.want {
				if !slices.Contains(args, w) {
					t.Errorf("no %q in %q", w, args)
				}
			}
			for _, w := range tc.not {
				if slices.Contains(args, w) {
					t.Errorf("%q in %q", w, args)
				}
			}
		})
	}
}

// TestConsole: a flood does not fill the memory, and the place of the last
// match is kept.
func TestConsole(t *testing.T) {
	var c console
	line := bytes.Repeat([]byte("x"), 1000)
	for range 3000 {
		if _, err := c.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.buf) > 2*keep+len(line) {
		t.Errorf("%d bytes are kept", len(c.buf))
	}
	_, _ = io.WriteString(&c, "\x1b[0mone\r\ntwo\n")
	if got := c.lastLines(1); got != "two" {
		t.Errorf("last line %q", got)
	}
}
