// Package nodeagent is the node's agent, cloudy-node, and the program of live
// media, cloudy-live, as the builder carries them: static binaries for each
// architecture, compressed, put into the program by `make build`. A builder
// without them takes files instead.
package nodeagent

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/elf"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"

	"cloudy/builder/fail"
)

// embedded has what scripts/agents left there; in a fresh checkout that is
// nothing but the file that keeps Git from listing it.
//
//go:embed all:embedded
var embedded embed.FS

// The programs.
const (
	node = "cloudy-node"
	live = "cloudy-live"
)

const (
	folder = "embedded"

	// FolderVar names the environment variable that says where other agents
	// lie, as cloudy-node-ARCH and cloudy-live-ARCH.
	FolderVar = "CLOUDY_NODE_DIR"
)

// ErrNone says that there is no agent for an architecture.
var ErrNone = errors.New("there is no agent for this architecture")

// Agent is the agent for one architecture.
type Agent struct {
	Arch   string `json:"arch"` // Debian's name
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`             // bytes, unpacked
	Inputs string `json:"inputs,omitempty"` // digest of its sources; the agent calls the first 12 digits its version
	From   string `json:"from,omitempty"`   // file it is read from; empty: built in

	open func() (io.ReadCloser, error)
}

// Embedded returns the agents that are built in, sorted by architecture.
func Embedded() []Agent { return builtIn(node) }

func builtIn(program string) []Agent {
	data, err := embedded.ReadFile(folder + "/" + program + ".json")
	if err != nil {
		return nil
	}
	list := map[string]Agent{}
	if json.Unmarshal(data, &list) != nil {
		return nil
	}
	out := slices.Collect(maps.Values(list))
	slices.SortFunc(out, func(a, b Agent) int { return cmp.Compare(a.Arch, b.Arch) })
	for i := range out {
		out[i].open = unpack(program, out[i].Arch)
	}
	return out
}

func unpack(program, arch string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		packed, err := embedded.ReadFile(folder + "/" + name(program, arch) + ".zst")
		if err != nil {
			return nil, err
		}
		z, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
}

func name(program, arch string) string { return program + "-" + arch }

// Find returns the agent for an architecture: out of the folder that
// CLOUDY_NODE_DIR names, the one that is built in, or a file beside the
// program. The error is ErrNone when there is none of them.
func Find(arch string) (*Agent, error) {
	if dir := os.Getenv(FolderVar); dir != "" {
		a, err := file(filepath.Join(dir, name(node, arch)), arch)
		if err != nil && errors.Is(err, fs.ErrNotExist) {
			return nil, fail.WithHint(fail.User, fmt.Errorf("%w: %s is not in the folder that %s names", ErrNone, name(node, arch), FolderVar),
				"put it there, or unset the variable for the one that is built in")
		}
		return a, err
	}
	return carried(node, arch)
}

// FindLive returns the program of live media for an architecture, as Find
// does. A folder that CLOUDY_NODE_DIR names need not have it.
func FindLive(arch string) (*Agent, error) {
	if dir := os.Getenv(FolderVar); dir != "" {
		a, err := file(filepath.Join(dir, name(live, arch)), arch)
		if !errors.Is(err, fs.ErrNotExist) {
			return a, err
		}
	}
	return carried(live, arch)
}

func carried(program, arch string) (*Agent, error) {
	for _, a := range builtIn(program) {
		if a.Arch == arch {
			return &a, nil
		}
	}
	if self, err := os.Executable(); err == nil {
		if a, err := file(filepath.Join(filepath.Dir(self), name(program, arch)), arch); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return a, err
		}
	}
	return nil, fail.WithHint(fail.Host, fmt.Errorf("%w: %s", ErrNone, arch),
		fmt.Sprintf("build the program with 'make build', which puts the agent in, or put %s beside it or into a folder that %s names", name(program, arch), FolderVar))
}

// file is an agent on disk, looked at whether it can run on such a node.
func file(path, arch string) (*Agent, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := fits(f, arch); err != nil {
		return nil, fail.Mark(fail.User, fmt.Errorf("%s: %w", path, err))
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return nil, fail.Mark(fail.Host, fmt.Errorf("%s: %w", path, err))
	}
	return &Agent{Arch: arch, SHA256: hex.EncodeToString(h.Sum(nil)), Size: n, From: path,
		open: func() (io.ReadCloser, error) { return os.Open(path) }}, nil
}

// machines are the processors of Debian's architectures (ELF, e_machine).
var machines = map[string]elf.Machine{
	"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "armhf": elf.EM_ARM, "armel": elf.EM_ARM, "i386": elf.EM_386,
	"riscv64": elf.EM_RISCV, "ppc64el": elf.EM_PPC64, "s390x": elf.EM_S390,
}

// fits tells whether f is a static program for an architecture. It leaves f
// at its beginning.
func fits(f *os.File, arch string) error {
	e, err := elf.NewFile(f)
	if err != nil {
		return fmt.Errorf("is no program for a node: %w", err)
	}
	if e.Machine != machines[arch] {
		return fmt.Errorf("is a program for %s, not for %s", e.Machine, arch)
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("is not a static program; build it with CGO_ENABLED=0")
		}
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// Open returns the binary's content. Reading fails at the end when the
// content is not what SHA256 says.
func (a *Agent) Open() (io.ReadCloser, error) {
	r, err := a.open()
	if err != nil {
		return nil, fail.Mark(fail.Host, fmt.Errorf("agent for %s: %w", a.Arch, err))
	}
	return &verified{ReadCloser: r, h: sha256.New(), want: a.SHA256}, nil
}

// verified is a reader that compares the digest at the end.
type verified struct {
	io.ReadCloser
	h interface {
		io.Writer
		Sum([]byte) []byte
	}
	want string
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	v.h.Write(p[:n])
	if err == io.EOF {
		if got := hex.EncodeToString(v.h.Sum(nil)); got != v.want {
			return n, fmt.Errorf("the agent has changed: its SHA-256 is %s, not %s", got, v.want)
		}
	}
	return n, err
}
