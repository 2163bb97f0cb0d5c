package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sizeLimit is what the program may measure, in bytes: OpenWrt routers and
// cards of the first boards have little room.
const sizeLimit = 12_000_000

// flags are those of a release: stripped, and without HTTP/2, which the
// agent never speaks.
var flags = []string{"build", "-trimpath", "-ldflags=-s -w", "-tags=nethttpomithttp2"}

// tight is for routers: nothing is copied into its callers but where it counts
// for speed, which saves a tenth.
var tight = []string{"-gcflags=all=-l", "-gcflags=crypto/...=", "-gcflags=runtime/...=", "-gcflags=internal/runtime/...=", "-gcflags=math/big="}

// architectures are those that the program is released for. The first two are
// the largest of each way of building it.
var architectures = []struct {
	name, env string
	flags     []string
}{
	{"amd64", "GOARCH=amd64", nil},
	{"mipsle", "GOARCH=mipsle GOMIPS=softfloat", tight},
	{"mips", "GOARCH=mips GOMIPS=softfloat", tight},
	{"arm64", "GOARCH=arm64", nil},
	{"armhf", "GOARCH=arm GOARM=7", nil},
	{"armv6", "GOARCH=arm GOARM=6", nil},
	{"i386", "GOARCH=386 GO386=softfloat", nil}, // without SSE2
}

// TestSize builds the program as it is released. That takes half a minute an
// architecture, so the largest stand for all; `make sizes` builds every one, and
// fails when they are not the largest.
func TestSize(t *testing.T) {
	list := architectures[:2]
	if os.Getenv("CLOUDY_SIZES") == "all" {
		list = architectures
	}
	var most int64 // of the first two
	for i, a := range list {
		out := filepath.Join(t.TempDir(), "cloudy-node")
		cmd := exec.Command("go", append(append(slices.Clone(flags), a.flags...), "-o", out, ".")...)
		cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux"), strings.Fields(a.env)...)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", a.name, err, text)
			continue
		}
		info, err := os.Stat(out)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%-7s %9d bytes", a.name, info.Size())
		if i < 2 {
			most = max(most, info.Size())
		} else if info.Size() > most {
			t.Errorf("%s is larger than those that stand for it: move it up in the list", a.name)
		}
		if info.Size() > sizeLimit {
			t.Errorf("%s: %d bytes are more than %d", a.name, info.Size(), sizeLimit)
		}
	}
}
