// Command agents builds cloudy-node and cloudy-live for the architectures of
// images and lays them, compressed, where the builder's package nodeagent embeds
// them. It does nothing where the sources are as they were. Run it in the top
// folder.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// targets are Debian's architectures and what Go calls them.
var targets = map[string][]string{
	"amd64":   {"GOARCH=amd64"},
	"arm64":   {"GOARCH=arm64"},
	"armhf":   {"GOARCH=arm", "GOARM=7"},
	"i386":    {"GOARCH=386", "GO386=softfloat"}, // processors without SSE2 among them
	"riscv64": {"GOARCH=riscv64"},
}

// flags give the same bits from the same sources wherever and whenever they
// are built: no path, no revision. The program says by a digest of its sources
// which ones they were; "cloudy version" has it beside the revision.
func flags(inputs string) []string {
	return []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -X cloudy/firstboot/cli.sources=" + inputs[:12], "-tags=nethttpomithttp2"}
}

const folder = "builder/nodeagent/embedded"

// program is what is built: its sources are in the folders.
type program struct {
	name, source string
	folders      []string
	archs        []string // nil for all
}

// programs are the node's agent and what live media run.
var programs = []program{
	{name: "cloudy-node", source: "./firstboot/cmd/cloudy-node", folders: []string{"firstboot"}},
	{
		name: "cloudy-live", source: "./builder/cmd/cloudy-live",
		folders: []string{"builder/cmd/cloudy-live", "builder/deb", "builder/disk", "builder/fail", "builder/progress", "builder/tree", "builder/xz", "firstboot", "targets"},
		archs:   []string{"amd64", "arm64"}, // of the metal target
	},
}

// agent is an entry of the index that package nodeagent reads.
type agent struct {
	Arch   string `json:"arch"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	Inputs string `json:"inputs"`
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("agents: ")
	var only string
	var missing bool
	flag.StringVar(&only, "arch", strings.Join(slices.Sorted(maps.Keys(targets)), ","), "Debian `architectures`, by commas, or \"native\"")
	flag.BoolVar(&missing, "if-missing", false, "leave agents of older sources as they are")
	flag.Parse()
	if err := run(strings.Split(only, ","), missing); err != nil {
		log.Fatal(err)
	}
}

func run(archs []string, missing bool) error {
	for _, p := range programs {
		if err := p.run(archs, missing); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

func (p program) run(archs []string, missing bool) error {
	inputs, err := p.fingerprint()
	if err != nil {
		return err
	}
	path := filepath.Join(folder, p.name+".json")
	index := map[string]agent{}
	if data, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(data, &index) // what cannot be read is made again
	}
	for _, arch := range archs {
		if arch == "native" {
			arch = native()
		}
		if p.archs != nil && !slices.Contains(p.archs, arch) {
			continue
		}
		have, ok := index[arch]
		if _, err := os.Stat(p.packed(arch)); err == nil && ok && (missing || have.Inputs == inputs) {
			continue
		}
		fmt.Fprintf(os.Stderr, "agents: %s for %s\n", p.name, arch)
		data, err := p.build(".", arch, inputs)
		if err != nil {
			return fmt.Errorf("%s: %w", arch, err)
		}
		if err := p.pack(arch, data); err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		index[arch] = agent{Arch: arch, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(data)), Inputs: inputs}
		text, err := json.MarshalIndent(index, "", "  ")
		if err != nil {
			return err
		}
		if err := replace(path, append(text, '\n')); err != nil {
			return err
		}
	}
	return nil
}

func (p program) packed(arch string) string { return filepath.Join(folder, p.name+"-"+arch+".zst") }

// native is Debian's name of the machine's own architecture.
func native() string {
	for arch, env := range targets {
		if env[0] == "GOARCH="+runtime.GOARCH {
			return arch
		}
	}
	return runtime.GOARCH
}

// build makes the program for one architecture out of the sources in a folder,
// which have that digest.
func (p program) build(sources, arch, inputs string) ([]byte, error) {
	env, ok := targets[arch]
	if !ok {
		return nil, fmt.Errorf("unknown; there are %s", strings.Join(slices.Sorted(maps.Keys(targets)), ", "))
	}
	dir, err := os.MkdirTemp("", p.name+"-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, p.name)
	c := exec.Command("go", append(flags(inputs), "-o", out, p.source)...)
	c.Dir = sources
	c.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOAMD64=v1", "GOARM64=v8.0", "GORISCV64=rva20u64", "GOFLAGS="), env...)
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	if err := c.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}

// pack lays a binary where the builder embeds it.
func (p program) pack(arch string, data []byte) error {
	var z bytes.Buffer
	w, err := zstd.NewWriter(&z, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return replace(p.packed(arch), z.Bytes())
}

// fingerprint is a digest of all that the program is made of: its sources, the
// versions of modules, the compiler and how it is called.
func (p program) fingerprint() (string, error) {
	h := sha256.New()
	goVersion, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		return "", fmt.Errorf("ask Go for its version: %w", err)
	}
	self, err := os.ReadFile("scripts/agents/main.go")
	if err != nil {
		return "", errors.New("run this in the top folder of the sources")
	}
	fmt.Fprintf(h, "%s%x\n", goVersion, sha256.Sum256(self))
	files := []string{"go.mod", "go.sum"}
	for _, dir := range p.folders {
		err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && !strings.HasSuffix(path, "_test.go") && !strings.HasSuffix(path, ".md") && !strings.Contains(path, "testdata/") {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return "", err
		}
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %x\n", f, sha256.Sum256(data))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// replace writes aside and renames.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
