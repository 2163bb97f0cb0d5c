package cli

import (
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	memory "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"cloudy/builder/fail"
	"cloudy/builder/plan"
)

const archsRecipe = `
archive "debian" {
  suites = ["trixie"]
}

image "small" {
  architectures = ["amd64", "i386"]
  variant       = "essential"
  target "oci" {}
}
`

// TestArchs builds for two architectures in one call, both of which run here,
// and pushes the two under one tag.
func TestArchs(t *testing.T) {
	if testing.Short() {
		t.Skip("installs packages of the real archive")
	}
	if HostArch() != "amd64" {
		missing(t, "i386 runs on amd64 alone")
	}
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	srv := httptest.NewServer(memory.New(memory.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "recipe.hcl"), []byte(archsRecipe), 0o644); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, code := cloudy(t, dir, "lock", "--arch", "i386,amd64"); code == fail.Network.ExitCode() {
		missing(t, stderr)
	} else if code != 0 || !strings.Contains(stdout, "small/i386: ") || !strings.Contains(stdout, "small/amd64: ") {
		t.Fatalf("lock: exit status %d\n%s%s", code, stdout, stderr)
	}
	shared := host + "/cloudy/cache"
	stdout, stderr, code := cloudy(t, dir, "build", "--arch", "amd64,i386", "--cache-to", shared)
	if code == fail.Host.ExitCode() {
		missing(t, stderr)
	}
	files := []string{"out/small-amd64-oci.tar", "out/small-i386-oci.tar"}
	if code != 0 || stdout != strings.Join(files, "\n")+"\n" {
		t.Fatalf("build: exit status %d\n%s%s", code, stdout, stderr)
	}
	for _, want := range []string{"small/amd64: customise", "small/i386: customise", "cloudy push " + strings.Join(files, " ")} {
		if !strings.Contains(stderr, want) {
			t.Errorf("the build does not say %q:\n%s", want, stderr)
		}
	}

	ref := host + "/cloudy/small:1.0"
	if _, stderr, code := cloudy(t, dir, append([]string{"push"}, append(files, ref)...)...); code != 0 {
		t.Fatalf("push: exit status %d\n%s", code, stderr)
	}
	tag, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(tag)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var archs []string
	for _, d := range m.Manifests {
		archs = append(archs, d.Platform.OS+"/"+d.Platform.Architecture)
	}
	if slices.Sort(archs); !slices.Equal(archs, []string{"linux/386", "linux/amd64"}) {
		t.Errorf("the index is of %v", archs)
	}

	// Another machine sees in the plan what it would not have to make.
	t.Setenv("CLOUDY_TEST_CACHE", t.TempDir())
	stdout, stderr, code = cloudy(t, dir, "plan", "--arch", "amd64,i386", "--cache-from", shared, "--out", "elsewhere", "--json")
	var steps []plan.Step
	if err := json.Unmarshal([]byte(stdout), &steps); err != nil || code != 0 {
		t.Fatalf("plan: exit status %d, %v\n%s", code, err, stderr)
	}
	found := map[string]string{}
	for _, s := range steps {
		found[s.Image+" "+s.Name] = s.Shared
	}
	for step, want := range map[string]string{
		"small/amd64 packages": shared, "small/i386 packages": shared, "small/amd64 target oci": "", "small/i386 customise": "",
	} {
		if got, ok := found[step]; !ok || got != want {
			t.Errorf("%s is shared in %q", step, got)
		}
	}
}
