package sandbox

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// HostArch is Debian's name of the architecture of this program.
func HostArch() string {
	switch runtime.GOARCH {
	case "386":
		return "i386"
	case "arm":
		return "armhf"
	case "ppc64le":
		return "ppc64el"
	}
	return runtime.GOARCH
}

// RunsNatively says whether this machine's processor and kernel run programs
// of an architecture by themselves. Those with a smaller brother (amd64 and
// i386, arm64 and armhf) may or may not run it; that is tried out.
func RunsNatively(arch string) bool {
	switch HostArch() + " " + arch {
	case "amd64 i386":
		return runsBrother().i386
	case "arm64 armhf", "arm64 armel":
		return runsBrother().arm
	}
	return arch == HostArch()
}

// brothers says which 32-bit programs run.
type brothers struct{ i386, arm bool }

var runsBrother = sync.OnceValue(func() brothers {
	return brothers{
		// mov eax, 1 (exit); xor ebx, ebx; int 0x80
		i386: runs(tinyELF(3, 0, []byte{0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80})),
		// mov r0, #0; mov r7, #1 (exit); svc 0
		arm: runs(tinyELF(40, 0x05000000, []byte{0, 0, 0xa0, 0xe3, 1, 0x70, 0xa0, 0xe3, 0, 0, 0, 0xef})),
	}
})

// runs says whether a program that exits with 0 does so here.
func runs(program []byte) bool {
	dir, err := os.MkdirTemp("", "cloudy-arch-*")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "exit")
	return os.WriteFile(file, program, 0o700) == nil && exec.Command(file).Run() == nil
}

// tinyELF is a static 32-bit program of one segment (elf(5)): header, one
// program header, code. e_flags has the ABI's version on ARM.
func tinyELF(machine uint16, flags uint32, code []byte) []byte {
	const base, header = 0x10000, 52 + 32
	size := uint32(header + len(code))
	var b bytes.Buffer
	b.Write([]byte{0x7f, 'E', 'L', 'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	for _, v := range []any{
		uint16(2), machine, uint32(1), uint32(base + header), uint32(52), uint32(0), flags, uint16(52), uint16(32), uint16(1), uint16(40), uint16(0), uint16(0),
		uint32(1), uint32(0), uint32(base), uint32(base), size, size, uint32(5), uint32(0x1000), // PT_LOAD, readable and executable
	} {
		binary.Write(&b, binary.LittleEndian, v)
	}
	b.Write(code)
	return b.Bytes()
}

// hostHandlers is where the machine's own handlers stand.
const hostHandlers = "/proc/sys/fs/binfmt_misc"

// HostEmulates says whether the machine has an emulator of an architecture
// for everybody, which works inside of roots (flag F).
func HostEmulates(arch string) bool {
	data, err := os.ReadFile(filepath.Join(hostHandlers, "qemu-"+QEMUName(arch)))
	if err != nil || !strings.HasPrefix(string(data), "enabled") {
		return false
	}
	for line := range strings.Lines(string(data)) {
		if flags, ok := strings.CutPrefix(line, "flags:"); ok {
			return strings.Contains(flags, "F")
		}
	}
	return false
}

// OwnInterpreters says whether sessions of a mode can have interpreters of
// their own; the error says why not, and is an ErrNoBinfmt.
func OwnInterpreters(mode Mode) error {
	if mode == ModePlain {
		return errPlainBinfmt()
	}
	return kernelBinfmt()
}
