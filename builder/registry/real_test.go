package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/crypto/bcrypt"

	"cloudy/builder/fail"
	"cloudy/builder/report"
	"cloudy/targets/oci"
)

// TestContainers pushes images for two architectures to a real registry; other
// programs read them from there, and one runs.
func TestContainers(t *testing.T) {
	need(t, "skopeo")
	noCredentials(t)
	host := realRegistry(t, "")
	dir := t.TempDir()
	amd, arm := container(t, dir, "amd64", oci.Options{}), container(t, dir, "arm64", oci.Options{})
	reports(t, dir, "tiny-amd64", amd)
	c, ref := client(), host+"/cloudy/tiny:1.0"
	list := mustPush(t, c, PushRequest{Files: []string{arm, amd}, Ref: ref, Annotations: map[string]string{"org.example.note": "hello"}})
	var index v1.IndexManifest
	raw := run(t, "skopeo", "inspect", "--tls-verify=false", "--raw", "docker://"+ref)
	if err := json.Unmarshal([]byte(raw), &index); err != nil {
		t.Fatal(err)
	}
	if describe("", []byte(raw)).Digest.String() != list[0].Digest {
		t.Error("skopeo sees another digest")
	}
	if len(index.Manifests) != 2 || index.Manifests[0].Platform.Architecture != "amd64" || index.Manifests[1].Platform.String() != "linux/arm64/v8" || index.Annotations["org.example.note"] != "hello" {
		t.Errorf("the index: %s", raw)
	}
	for i, arch := range []string{"amd64", "arm64"} {
		run(t, "skopeo", "copy", "--src-tls-verify=false", "--override-arch", arch, "docker://"+ref, "oci:"+filepath.Join(dir, "copied-"+arch))
		copied := mustPull(t, c, PullRequest{Ref: ref, Arch: arch, Dir: filepath.Join(dir, "pulled")})
		if len(copied) != 1 || copied[0].Digest != index.Manifests[i].Digest.String() || filepath.Base(copied[0].Path) != "tiny-"+arch+"-oci.tar" {
			t.Errorf("pulled: %+v", copied)
		}
		run(t, "skopeo", "copy", "oci-archive:"+copied[0].Path, "dir:"+filepath.Join(dir, "archive-"+arch))
	}
	// What is pulled is as good as what was pushed.
	again := mustPush(t, c, PushRequest{Files: []string{filepath.Join(dir, "pulled/tiny-amd64-oci.tar"), filepath.Join(dir, "pulled/tiny-arm64-oci.tar")}, Ref: host + "/cloudy/again:1.0", Annotations: map[string]string{"org.example.note": "hello"}})
	if again[0].Digest != list[0].Digest {
		t.Error("pushing what was pulled gives another index")
	}
	t.Run("attached", func(t *testing.T) { attached(t, c, host, index.Manifests[0]) })
	t.Run("join", func(t *testing.T) {
		for _, f := range []string{amd, arm} {
			mustPush(t, c, PushRequest{Files: []string{f}, Ref: host + "/cloudy/parts:" + strings.TrimSuffix(filepath.Base(f), "-oci.tar")})
		}
		joined, err := c.Copy(context.Background(), []string{host + "/cloudy/parts:tiny-amd64", host + "/cloudy/parts:tiny-arm64"}, host+"/cloudy/joined:1.0", true)
		if err != nil {
			t.Fatal(err)
		}
		run(t, "skopeo", "inspect", "--tls-verify=false", "--override-arch", "arm64", "docker://"+host+"/cloudy/joined:1.0")
		if n := strings.Count(fmt.Sprint(joined), "attached "); n != 3 {
			t.Errorf("%d attached documents were copied: %+v", n, joined)
		}
	})
	t.Run("podman", func(t *testing.T) { podman(t, ref) })
}

// attached checks bills of materials and provenance of an image.
func attached(t *testing.T, c *Client, host string, d v1.Descriptor) {
	subject, err := name.NewDigest(host + "/cloudy/tiny@" + d.Digest.String())
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.Attached(context.Background(), subject)
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]bool{}
	for _, d := range list {
		types[d.ArtifactType] = true
		if d.ArtifactType != string(ProvenanceType) {
			continue
		}
		files := mustPull(t, c, PullRequest{Ref: host + "/cloudy/tiny@" + d.Digest.String(), Dir: t.TempDir()})
		if text := read(t, files[0].Path); !strings.Contains(text, subject.DigestStr()[7:]) || !strings.Contains(text, "tiny-amd64-oci.tar") {
			t.Errorf("the provenance does not name the image: %s", text)
		}
	}
	if len(types) != 3 || !types[string(SPDXType)] || !types[string(CycloneDXType)] || !types[string(ProvenanceType)] {
		t.Errorf("attached: %v", types)
	}
	// A registry of version 2 has no referrers API: the list is under a tag.
	run(t, "skopeo", "inspect", "--tls-verify=false", "--raw", "docker://"+host+"/cloudy/tiny:"+strings.Replace(d.Digest.String(), ":", "-", 1))
}

// podman runs the image as a registry gives it. The cgroups of this machine
// are left alone: where they are a mixture of versions crun would refuse.
func podman(t *testing.T, ref string) {
	need(t, "podman", "crun", "busybox")
	if os.Geteuid() != 0 {
		missing(t, "wants root")
	}
	dir := t.TempDir()
	script := `set -e
mount --make-rprivate /
umount -l /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null || mount -t tmpfs none /sys/fs/cgroup
exec podman --root "$1/root" --runroot "$1/run" --tmpdir "$1/tmp" --storage-driver vfs --cgroup-manager cgroupfs --events-backend file \
	run --tls-verify=false --cgroups=disabled --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --rm "$2" \
	/bin/sh -c '. /etc/os-release; echo "runs: $PRETTY_NAME"'`
	// What podman leaves to clean up behind it ends with the namespace.
	out := run(t, "unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script, "sh", dir, ref)
	if !strings.Contains(out, "runs: Cloudy test amd64") {
		t.Errorf("podman: %s", out)
	}
}

// reports writes what a build writes beside its artefacts.
func reports(t testing.TB, dir, base string, files ...string) {
	t.Helper()
	write(t, filepath.Join(dir, base+".spdx.json"), `{"spdxVersion":"SPDX-2.3"}`)
	write(t, filepath.Join(dir, base+".cdx.json"), `{"bomFormat":"CycloneDX"}`)
	write(t, filepath.Join(dir, base+".provenance.json"), `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"`+base+`-oci.tar","digest":{}}]}`)
	var sums []report.File
	for _, f := range append(files, base+".spdx.json", base+".cdx.json", base+".provenance.json") {
		f = filepath.Base(f)
		sum, size, err := hashFile(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, report.File{Path: f, Size: size, SHA256: sum})
	}
	var b strings.Builder
	if err := report.WriteSums(&b, sums); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, base+".SHA256SUMS"), b.String())
}

// TestFiles has a registry keep disks and the like.
func TestFiles(t *testing.T) {
	noCredentials(t)
	host := realRegistry(t, "")
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "new")
	disk := write(t, filepath.Join(dir, "node-amd64.qcow2"), strings.Repeat("QFI\xfb", 100000))
	iso := write(t, filepath.Join(dir, "node-amd64.iso"), "CD001")
	reports(t, dir, "node-amd64", disk, iso)
	write(t, filepath.Join(dir, "node-amd64.SHA256SUMS.minisig"), "signature")
	c := client()
	first := mustPush(t, c, PushRequest{Files: []string{disk}, Ref: host + "/cloudy/disk:1"})
	if second := mustPush(t, c, PushRequest{Files: []string{disk}, Ref: host + "/cloudy/disk:2"}); second[0].Digest != first[0].Digest {
		t.Error("the same file is another artefact")
	}
	if l := mustPull(t, c, PullRequest{Ref: host + "/cloudy/disk@" + first[0].Digest, Dir: out}); len(l) != 1 || read(t, l[0].Path) != read(t, disk) {
		t.Errorf("pulled: %+v", l)
	}
	mustPush(t, c, PushRequest{Files: []string{filepath.Join(dir, "node-amd64.SHA256SUMS")}, Ref: host + "/cloudy/all:1"})
	if l := mustPull(t, c, PullRequest{Ref: host + "/cloudy/all:1", Dir: filepath.Join(out, "iso"), Only: []string{"node-amd64.iso"}}); len(l) != 1 || read(t, l[0].Path) != "CD001" {
		t.Errorf("pulled: %+v", l)
	}
	all := mustPull(t, c, PullRequest{Ref: host + "/cloudy/all:1", Dir: filepath.Join(out, "all")})
	if len(all) != 7 {
		t.Errorf("pulled: %+v", all)
	}
	for _, f := range all {
		if read(t, f.Path) != read(t, filepath.Join(dir, filepath.Base(f.Path))) {
			t.Errorf("%s differs", f.Path)
		}
	}
	if copied, err := c.Copy(context.Background(), []string{host + "/cloudy/all:1"}, host+"/mirror/all:1", true); err != nil || copied[0].Digest != all[0].Digest {
		t.Errorf("%+v, %v", copied, err)
	}
	noParts(t, out)

	write(t, iso, "changed")
	if _, err := c.Push(context.Background(), PushRequest{Files: []string{iso}, Ref: host + "/cloudy/iso"}); fail.KindOf(err) != fail.User || !strings.Contains(err.Error(), "is not what node-amd64.SHA256SUMS says") {
		t.Errorf("a file that was changed after its build: %v", err)
	}
}

// TestCredentials speaks to a registry that wants a password.
func TestCredentials(t *testing.T) {
	config := noCredentials(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	passwd := write(t, filepath.Join(t.TempDir(), "htpasswd"), "anna:"+string(hash)+"\n")
	host := realRegistry(t, fmt.Sprintf("auth:\n  htpasswd: {realm: test, path: %s}\n", passwd))
	disk := write(t, filepath.Join(t.TempDir(), "disk.raw"), "content")
	push := PushRequest{Files: []string{disk}, Ref: host + "/anna/disk"}
	login := func(password string) {
		write(t, filepath.Join(config, "config.json"), fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte("anna:"+password))))
	}
	for _, c := range []struct{ password, err, hint string }{
		{"", "it wants credentials, and there are none for it", "docker login " + host},
		{"wrong", "it does not accept the credentials", "log in to"},
		{"secret", "", ""},
	} {
		if c.password != "" {
			login(c.password)
		}
		_, err := client().Push(context.Background(), push)
		if c.err == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if err == nil || fail.KindOf(err) != fail.Network || !strings.Contains(err.Error(), c.err) || !strings.Contains(fail.HintOf(err), c.hint) {
			t.Errorf("password %q: %v (%s)", c.password, err, fail.HintOf(err))
		}
	}
}
