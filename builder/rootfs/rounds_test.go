package rootfs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"cloudy/builder/deb"
)

// testJobs makes jobs out of lines "name: fields", where a name with "!" has
// a preinst; fields are separated by ";".
func testJobs(t testing.TB, lines ...string) []*job {
	t.Helper()
	var out []*job
	for _, l := range lines {
		name, fields, _ := strings.Cut(l, ":")
		name, preinst := strings.CutSuffix(name, "!")
		text := "Package: " + name + "\nVersion: 1\nArchitecture: all\n"
		for f := range strings.SplitSeq(fields, ";") {
			if f = strings.TrimSpace(f); f != "" {
				text += f + "\n"
			}
		}
		para, err := deb.NewParagraphReader(strings.NewReader(text)).Next()
		if err != nil {
			t.Fatal(err)
		}
		m := metadata{name: name, arch: "all", para: para, control: map[string]deb.ControlFile{"control": {Data: []byte(text)}}}
		if preinst {
			m.control["preinst"] = deb.ControlFile{Data: []byte("#!/bin/sh\n"), Mode: 0o755}
		}
		out = append(out, &job{Package: Package{Name: name, Architecture: "all"}, meta: m, staged: &staged{metadata: m}})
	}
	return out
}

func names(jobs []*job) string {
	var out []string
	for _, j := range jobs {
		out = append(out, j.Name)
	}
	return strings.Join(out, " ")
}

func TestPreinstRounds(t *testing.T) {
	for _, tc := range []struct {
		name string
		jobs []string
		want string // "placed/configured | ..."
	}{
		{"no preinst, one round", []string{"a:", "b: Pre-Depends: a", "c: Depends: b"}, "a b c/a b c"},
		{"a preinst without Pre-Depends", []string{"a!: Depends: b", "b:"}, "a b/a b"},
		{"a preinst with Pre-Depends", []string{"a:", "b!: Pre-Depends: a", "c:"}, "a c/a | b/b c"},
		{"what that depends on comes along", []string{"x:", "a: Depends: x", "b!: Pre-Depends: a (>= 1)", "c:"}, "x a c/x a | b/b c"},
		{"three rounds", []string{"a:", "b!: Pre-Depends: a", "c!: Pre-Depends: b", "d:"}, "a d/a | b/b | c/c d"},
		{"a provider", []string{"a: Provides: v", "b!: Pre-Depends: v | w"}, "a/a | b/b"},
		{"an alternative that is not there", []string{"a:", "b!: Pre-Depends: gone | a"}, "a/a | b/b"},
		{"configured before", []string{"b!: Pre-Depends: libc6"}, "b/b"},
		{"nothing", nil, "/"},
		{"a cycle", []string{"a!: Pre-Depends: b", "b!: Pre-Depends: a"}, "b/b | a/a"},
	} {
		jobs := testJobs(t, tc.jobs...)
		needs, err := preDepends(jobs, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range preinstRounds(jobs, needs) {
			got = append(got, names(r.place)+"/"+names(r.configure))
		}
		if g := strings.Join(got, " | "); g != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, g, tc.want)
		}
	}
}

// Ids of system users follow the order of configuring, so the rounds must be
// the same on every run, even where packages go in circles.
func TestPreinstRoundsAreFixed(t *testing.T) {
	var lines []string
	for i := range 6 {
		var deps []string
		for k := range 6 {
			if k != i {
				deps = append(deps, fmt.Sprint("p", k))
			}
		}
		lines = append(lines, fmt.Sprintf("p%d!: Pre-Depends: %s", i, strings.Join(deps, ", ")))
	}
	first := ""
	for range 50 {
		jobs := testJobs(t, lines...)
		needs, err := preDepends(jobs, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, r := range preinstRounds(jobs, needs) {
			got += names(r.place) + "/" + names(r.configure) + "|"
		}
		if first == "" {
			first = got
		}
		if got != first {
			t.Fatalf("%s, and then %s", first, got)
		}
	}
}

// FuzzPreinstRounds: every job is placed once and configured once, not before
// it is placed, and without circles what a preinst needs is configured before.
func FuzzPreinstRounds(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3})
	f.Add([]byte{0xff, 0x81, 0x42, 0x99, 0x10, 0x33})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 24 {
			data = data[:24]
		}
		var lines []string
		for i, b := range data { // in configure order: only what came before
			l := fmt.Sprint("p", i)
			if b&1 != 0 {
				l += "!"
			}
			l += ":"
			if i > 0 && b&2 != 0 {
				l += fmt.Sprintf(" Pre-Depends: p%d", int(b>>3)%i)
			}
			if i > 0 && b&4 != 0 {
				l += fmt.Sprintf("; Depends: p%d", int(b>>5)%i)
			}
			lines = append(lines, l)
		}
		jobs := testJobs(t, lines...)
		needs, err := preDepends(jobs, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		placed, configured := map[*job]bool{}, map[*job]bool{}
		for _, r := range preinstRounds(jobs, needs) {
			for _, j := range r.place {
				if placed[j] {
					t.Errorf("%s is placed twice", j.Name)
				}
				placed[j] = true
				for dep := range needs[j] {
					if !configured[dep] {
						t.Errorf("%s is placed before %s is configured", j.Name, dep.Name)
					}
				}
			}
			for _, j := range r.configure {
				if configured[j] || !placed[j] {
					t.Errorf("%s is configured twice, or before it is placed", j.Name)
				}
				configured[j] = true
			}
		}
		if len(configured) != len(jobs) {
			t.Errorf("%d of %d configured", len(configured), len(jobs))
		}
	})
}

func TestInitramfsFirst(t *testing.T) {
	brings := func(j *job, paths ...string) {
		text := ""
		for _, p := range paths {
			text += "d41d8cd98f00b204e9800998ecf8427e  " + p + "\n"
		}
		j.meta.control["md5sums"] = deb.ControlFile{Data: []byte(text)}
	}
	jobs := testJobs(t, "bash-doc:", "lib:", "kernel: Depends: initramfs-tools, kmod", "kmod: Depends: lib", "other: Depends: lib", "initramfs-tools:", "hook: Depends: data", "data:", "conf:", "zstd: Depends: libzstd", "libzstd:", "zstd-doc:")
	brings(jobs[2], "lib/modules/6.1.0-1-amd64/modules.builtin", "boot/vmlinuz-6.1.0-1-amd64")
	brings(jobs[6], "usr/share/initramfs-tools/hooks/x")
	jobs[8].meta.control["conffiles"] = deb.ControlFile{Data: []byte("/etc/modprobe.d/x.conf\n")}
	brings(jobs[9], "usr/bin/zstd")
	brings(jobs[11], "usr/share/doc/zstd/bin/zstd")
	got, n, err := initramfsFirst(jobs, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if names(got[:n]) != "lib kernel kmod initramfs-tools hook data conf zstd libzstd" || names(got[n:]) != "bash-doc other zstd-doc" {
		t.Errorf("first %s, then %s", names(got[:n]), names(got[n:]))
	}
	if v := kernelVersions(jobs); !slices.Equal(v, []string{"6.1.0-1-amd64"}) {
		t.Errorf("kernels %q", v)
	}
	for name, drop := range map[string]string{"no initramfs-tools": "initramfs-tools", "no kernel": "kernel"} {
		less := slices.DeleteFunc(slices.Clone(jobs), func(j *job) bool { return j.Name == drop })
		if got, n, err := initramfsFirst(less, "amd64"); err != nil || n != 0 || names(got) != names(less) {
			t.Errorf("%s: %d first of %s, %v", name, n, names(got), err)
		}
	}
}

func TestLeastCalls(t *testing.T) {
	for _, tc := range []struct {
		program string
		calls   []string
		want    []string
	}{
		{"update-initramfs", []string{"-u", "-c -k 6.1 -b /boot", "-u -k 6.1"}, []string{"-c -k 6.1 -b /boot"}},
		{"update-initramfs", []string{"-u", "-u -k all"}, []string{"-u"}},
		{"update-initramfs", []string{"-c -k 1", "-c -k 2"}, []string{"-c -k 1", "-c -k 2"}},
		{"update-ca-certificates", []string{"", "--fresh"}, []string{"--fresh"}},
		{"update-ca-certificates", []string{"-v"}, []string{""}},
		{"depmod", []string{"6.1", "-a"}, []string{"6.1", "-a"}},
	} {
		if got := leastCalls(tc.program, tc.calls); !slices.Equal(got, tc.want) {
			t.Errorf("%s %q: %q, want %q", tc.program, tc.calls, got, tc.want)
		}
	}
}
