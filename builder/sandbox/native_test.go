package sandbox

import (
	"bytes"
	"debug/elf"
	"runtime"
	"strings"
	"testing"
)

func TestRunsNatively(t *testing.T) {
	if !RunsNatively(HostArch()) {
		t.Error("this machine does not run its own programs")
	}
	other := "arm64"
	if HostArch() == "arm64" {
		other = "amd64"
	}
	if RunsNatively(other) {
		t.Errorf("this machine runs programs of %s", other)
	}
	if runtime.GOARCH == "amd64" && RunsNatively("i386") {
		// mov eax, 1 (exit); mov ebx, 1; int 0x80
		if runs(tinyELF(3, 0, []byte{0xb8, 1, 0, 0, 0, 0xbb, 1, 0, 0, 0, 0xcd, 0x80})) {
			t.Error("a program that fails counts as one that runs")
		}
	}
	if runs([]byte("no program")) {
		t.Error("text runs")
	}
}

// TestTinyELF: the programs are what the ELF reader of Go takes for one.
func TestTinyELF(t *testing.T) {
	for machine, want := range map[uint16]elf.Machine{3: elf.EM_386, 40: elf.EM_ARM} {
		f, err := elf.NewFile(bytes.NewReader(tinyELF(machine, 0, []byte{1, 2, 3, 4})))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != want || f.Class != elf.ELFCLASS32 || f.Type != elf.ET_EXEC || len(f.Progs) != 1 || f.Entry != f.Progs[0].Vaddr+84 || f.Progs[0].Filesz != 88 {
			t.Errorf("%v: %+v, %+v", want, f.FileHeader, f.Progs[0].ProgHeader)
		}
	}
}

// TestEmulators: there is a rule for every architecture that a recipe can
// name, of its own byte order.
func TestEmulators(t *testing.T) {
	seen := map[string]string{}
	for _, arch := range []string{"amd64", "arm64", "armel", "armhf", "i386", "ppc64el", "riscv64", "s390x"} {
		rule, err := binfmtRule(Interpreter{arch, "/qemu"})
		if err != nil || QEMUName(arch) == "" {
			t.Errorf("%s: %v", arch, err)
			continue
		}
		magic := strings.Split(rule, "\x01")[4]
		if old := seen[magic]; old != "" && QEMUName(old) != QEMUName(arch) {
			t.Errorf("%s and %s have one rule", old, arch)
		}
		seen[magic] = arch
	}
	// qemu-user-binfmt's rule for s390x, big endian.
	rule, _ := binfmtRule(Interpreter{"s390x", "/qemu"})
	if want := `\x7f\x45\x4c\x46\x02\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x16` + "\x01" + `\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff`; !strings.Contains(rule, want) {
		t.Errorf("s390x: %q", rule)
	}
	if QEMUName("vax") != "" || HostEmulates("vax") {
		t.Error("a vax can be emulated")
	}
}
