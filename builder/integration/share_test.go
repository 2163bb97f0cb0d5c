package integration

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"cloudy/builder/lock"
)

// registryServer starts Debian's docker-registry on the loopback.
func registryServer(t *testing.T) string {
	t.Helper()
	needTools(t, "docker-registry")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	writeFile(t, config, "version: 0.1\nlog: {level: error}\nstorage:\n  filesystem: {rootdirectory: "+dir+"/data}\nhttp: {addr: \""+addr+"\"}\n")
	c := exec.Command("docker-registry", "serve", config)
	c.Env = []string{"PATH=" + os.Getenv("PATH")}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(50 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return addr
		}
	}
	t.Fatal("docker-registry does not listen")
	return ""
}

// withRun gives the image minbase commands that leave every mark that a
// layer can have: removed and replaced files and folders, links, owners.
const withRun = `  grow          = false

  run "change" {
    script = <<-EOT
      rm /etc/debian_version
      rm -r /usr/share/doc && mkdir /usr/share/doc && echo new > /usr/share/doc/new
      ln /usr/bin/env /usr/bin/env2
      chown 33:33 /usr/share/doc/new && chmod 4711 /usr/share/doc/new
      mkfifo /var/fifo
    EOT
  }
`

// TestSharedCache builds on one machine and again on another one, which has
// an empty store, no archive to ask and no root: all steps come out of the
// registry, and the image is the same.
func TestSharedCache(t *testing.T) {
	needRoot(t)
	host := registryServer(t)
	first := archivePlace(t)
	first.ok("init")
	recipe := readFile(t, filepath.Join(first.dir, "bench.hcl"))
	changed := strings.Replace(recipe, "  grow          = false\n", withRun, 1)
	if changed == recipe {
		t.Fatal("this test no longer knows the recipe")
	}
	first.write("bench.hcl", changed)
	first.ok("key", "generate", "team.key", "--no-password")
	repo := host + "/cloudy/cache"
	first.ok("build", "minbase", "--progress=plain", "--cache-to", repo, "--cache-sign", "team.key")

	second := newPlace(t)
	if err := os.CopyFS(second.dir, os.DirFS(first.dir)); err != nil {
		t.Fatal(err)
	}
	os.RemoveAll(filepath.Join(second.dir, "out"))
	os.Remove(filepath.Join(second.dir, "team.key"))
	second.write(lock.FileName, shared.lock)
	second.env = append(second.env, "CLOUDY_MIRROR=http://127.0.0.1:1/", "CLOUDY_CACHE_FROM="+repo, "CLOUDY_CACHE_KEY="+filepath.Join(second.dir, "team.key.pub"))
	second.asUser(true)
	r := second.ok("build", "minbase", "--progress=plain")
	for _, step := range []string{"packages", "customise", "run change"} {
		if !strings.Contains(r.stderr, "cached "+step+": done") {
			t.Errorf("%s does not come out of the cache", step)
		}
	}
	if regexp.MustCompile(`(?m)^(unpack|configure|download|run change|warning)`).MatchString(r.stderr) {
		t.Errorf("a step was made again: %v", r)
	}
	for _, f := range []string{"minbase-amd64-tar.tar", "minbase-amd64.SHA256SUMS"} {
		if where, same := sameFile(t, filepath.Join(first.dir, "out", f), filepath.Join(second.dir, "out", f)); !same {
			t.Errorf("%s differs at byte %d", f, where)
		}
	}
	if r := second.ok("cache", "verify"); !strings.Contains(r.stdout, "3 layers verified") {
		t.Errorf("the store: %v", r)
	}

	// A signature of somebody else is worth nothing: but for a warning the
	// layers count as missing, and there is no archive to make them from.
	third := newPlace(t)
	if err := os.CopyFS(third.dir, os.DirFS(second.dir)); err != nil {
		t.Fatal(err)
	}
	os.RemoveAll(filepath.Join(third.dir, "out"))
	third.ok("key", "generate", "other.key", "--no-password")
	third.env = append(third.env, "CLOUDY_MIRROR=http://127.0.0.1:1/")
	third.fails(3, []string{"^warning: .*packages is made here: .*none of those trusted"}, "build", "minbase", "--progress=plain", "--cache-from", repo, "--cache-key", "other.key.pub")
}
