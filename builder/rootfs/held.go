package rootfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"cloudy/builder/progress"
	"cloudy/builder/sandbox"
)

// Some programs that postinsts and triggers call are slow, are called several
// times over, and do the same work each time: update-initramfs runs for the
// kernel, and again for initramfs-tools' trigger. While dpkg runs, a script
// that only notes the call stands in their place; each then runs once, beside
// dpkg, as soon as all that it reads is there.

// heldBack are those programs, as paths in the root.
var heldBack = []string{
	"usr/sbin/update-initramfs",
	"usr/sbin/update-ca-certificates",
	"usr/bin/systemd-hwdb",
	"usr/sbin/depmod",
}

// notesPath is where the stand-ins note their calls.
const notesPath = "/run/cloudy-held-back"

// standIn is the script in place of a program. Its answer to --version is
// what /etc/kernel/postinst.d/initramfs-tools asks for.
func standIn(program string) []byte {
	return []byte(`#!/bin/sh
if [ "$1" = --version ]; then echo "initramfs-tools held back"; exit 0; fi
echo "` + filepath.Base(program) + ` $*" >> ` + notesPath + `
`)
}

// held is what of this is going on in one Install.
type held struct {
	in    *installer
	notes *os.File // on the host, where no script can put something else in its place
	jobs  *errgroup.Group
	ctx   context.Context
	done  map[string]bool // programs that ran, or run now

	inputs sync.WaitGroup // what makes files that go into the initramfs
}

func newHeld(in *installer) (*held, error) {
	notes, err := os.CreateTemp("", "cloudy-held-back-*")
	if err != nil {
		return nil, err
	}
	return &held{in: in, notes: notes, done: map[string]bool{}}, nil
}

func (h *held) close() error {
	if h == nil {
		return nil
	}
	return errors.Join(h.notes.Close(), os.Remove(h.notes.Name()))
}

// begin gives the jobs a context; wait ends it.
func (h *held) begin(ctx context.Context) { h.jobs, h.ctx = errgroup.WithContext(ctx) }

// binds are the stand-ins for programs that the root has by now.
func (h *held) binds() []sandbox.Bind {
	out := []sandbox.Bind{{Source: h.notes.Name(), Target: notesPath}}
	for _, p := range heldBack {
		if _, ok, err := h.in.placer.dirs.lstat(p); ok && err == nil {
			out = append(out, sandbox.Bind{Data: standIn(p), Mode: 0o755, Target: "/" + p})
		}
	}
	out = append(out, h.systemdHelper()...)
	out = append(out, h.certConfigBind()...)
	if _, ok, err := h.in.placer.dirs.lstat(isChroot); ok && err == nil {
		out = append(out, chrootBind())
	}
	if len(out) == 1 {
		return nil
	}
	return out
}

// isChroot is ischroot(1) as scripts find it. It compares the root of
// process 1 with its own and so does not see what a build's root is: one that
// no machine runs on. raspi-firmware wants a mounted boot partition of every
// other one.
const isChroot = "usr/bin/ischroot"

func chrootBind() sandbox.Bind {
	return sandbox.Bind{Data: []byte("#!/bin/sh\nexit 0\n"), Mode: 0o755, Target: "/" + isChroot}
}

// calls returns the noted calls of a program, each once, in order.
func (h *held) calls(program string) ([]string, error) {
	data, err := os.ReadFile(h.notes.Name())
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		name, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == program && !slices.Contains(out, args) {
			out = append(out, args)
		}
	}
	return out, nil
}

// start runs a program beside dpkg.
func (h *held) start(program, what string, args ...[]string) {
	h.done[program] = true
	h.jobs.Go(func() error {
		step := progress.Begin(h.ctx, what, 0, progress.Items)
		return step.End(h.runAll(step, program, what, args))
	})
}

func (h *held) runAll(step *progress.Step, program, what string, args [][]string) (err error) {
	binds := []sandbox.Bind{chrootBind()}
	if program == "update-initramfs" && h.packsHere() {
		p, startErr := startPacking()
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, p.stop()) }()
		binds = append(binds, p.binds(h.in.Root)...)
	}
	for _, a := range args {
		err := h.in.runner.run(h.ctx, command{what: what, args: append([]string{program}, a...), step: step, binds: binds})
		if err != nil {
			return err
		}
	}
	return nil
}

// placed is told which packages' files have come: module lists are made of
// files alone.
func (h *held) placed(jobs []*job) error {
	if has(jobs, "openssh-server") {
		if err := h.holdHostKeys(); err != nil {
			return err
		}
	}
	versions := kernelVersions(jobs)
	if len(versions) == 0 || h.done["depmod"] {
		return nil
	}
	var args [][]string
	for _, v := range versions {
		args = append(args, []string{v})
	}
	h.done["depmod"] = true
	h.inputs.Add(1)
	h.jobs.Go(func() error {
		defer h.inputs.Done()
		step := progress.Begin(h.ctx, "kernel module lists", int64(len(args)), progress.Items)
		return step.End(h.runAll(step, "depmod", "depmod", args))
	})
	return nil
}

// placedAll is told that all files of a part are there. The hardware database
// is made of files alone, and goes into the initramfs.
func (h *held) placedAll(jobs []*job) {
	if !has(jobs, "udev") || h.done["systemd-hwdb"] {
		return
	}
	h.done["systemd-hwdb"] = true
	h.inputs.Add(1)
	h.jobs.Go(func() error {
		defer h.inputs.Done()
		step := progress.Begin(h.ctx, "hardware database", 0, progress.Items)
		return step.End(h.runAll(step, "systemd-hwdb", "systemd-hwdb", [][]string{{"--usr", "update"}}))
	})
}

// hostKeys are made by openssh-server's postinst when they are not there.
// They never ship, so making them is time lost; a node makes its own.
var hostKeys = []string{"etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_ecdsa_key", "etc/ssh/ssh_host_ed25519_key"}

// holdHostKeys puts empty files where the keys would be; dropHostKeys takes
// them away.
func (h *held) holdHostKeys() error {
	for _, p := range hostKeys {
		fd, base, err := h.in.placer.dirs.parent(p)
		if err != nil {
			return nil // no /etc/ssh: nothing will be made either
		}
		if err := writeAt(fd, base, ""); err != nil {
			return hostErr(err)
		}
	}
	return nil
}

func (h *held) dropHostKeys() error {
	for _, p := range hostKeys {
		st, ok, err := h.in.placer.dirs.lstat(p)
		if err != nil {
			return err
		}
		if !ok || st.Size != 0 {
			continue
		}
		fd, base, err := h.in.placer.dirs.parent(p)
		if err != nil {
			return err
		}
		if err := unix.Unlinkat(fd, base, 0); err != nil {
			return err
		}
	}
	return nil
}

// installed is told the name of each package that dpkg has configured.
func (h *held) installed(name string) {
	if name != "ca-certificates" || h.done["update-ca-certificates"] || h.jobs == nil { // nothing runs beside the base
		return
	}
	if hooks, err := os.ReadDir(filepath.Join(h.in.Root, "etc/ca-certificates/update.d")); err == nil && len(hooks) > 0 {
		return // hooks belong to packages that are not configured yet
	}
	h.done["update-ca-certificates"] = true
	h.jobs.Go(h.certificates)
}

// initramfsReady is told that all packages that have a part in an initramfs
// are configured.
func (h *held) initramfsReady() error {
	calls, err := h.calls("update-initramfs")
	if err != nil || h.done["update-initramfs"] {
		return err
	}
	var args [][]string
	for _, c := range calls {
		if strings.HasPrefix(c, "-c ") {
			args = append(args, strings.Fields(c))
		}
	}
	if len(args) == 0 {
		return nil
	}
	h.done["update-initramfs"] = true
	h.jobs.Go(func() error {
		h.inputs.Wait()
		step := progress.Begin(h.ctx, "initramfs", int64(len(args)), progress.Items)
		return step.End(h.runAll(step, "update-initramfs", "update-initramfs", args))
	})
	return nil
}

// finish runs what was asked for and has not run yet, and waits for all.
func (h *held) finish() error {
	for _, p := range heldBack {
		name := filepath.Base(p)
		calls, err := h.calls(name)
		if err != nil {
			return err
		}
		if h.done[name] || len(calls) == 0 {
			continue
		}
		var args [][]string
		for _, c := range leastCalls(name, calls) {
			args = append(args, strings.Fields(c))
		}
		h.start(name, name, args...)
	}
	if err := h.jobs.Wait(); err != nil {
		return fmt.Errorf("beside dpkg: %w", err)
	}
	if err := h.dropHostKeys(); err != nil {
		return err
	}
	return h.notes.Truncate(0)
}

// leastCalls leaves out calls whose work another one does too.
func leastCalls(program string, calls []string) []string {
	switch program {
	case "update-ca-certificates":
		if slices.ContainsFunc(calls, func(c string) bool { return strings.Contains(c, "--fresh") }) {
			return []string{"--fresh"}
		}
		return []string{""}
	case "update-initramfs":
		var create []string
		for _, c := range calls {
			if strings.HasPrefix(c, "-c ") {
				create = append(create, c)
			}
		}
		if len(create) > 0 {
			return create
		}
		return calls[:1]
	}
	return calls
}

func has(jobs []*job, name string) bool {
	return slices.ContainsFunc(jobs, func(j *job) bool { return j.Name == name })
}

// kernelVersions lists the versions of kernels that the packages bring.
func kernelVersions(jobs []*job) []string {
	var out []string
	for _, j := range jobs {
		j.meta.files(func(path string) {
			if rest, ok := strings.CutPrefix(strings.TrimPrefix(path, "usr/"), "lib/modules/"); ok {
				if v, ok := strings.CutSuffix(rest, "/modules.builtin"); ok && !strings.Contains(v, "/") {
					out = append(out, v)
				}
			}
		})
	}
	return out
}

// initramfsFolders are where the parts of an initramfs and its configuration
// come from (initramfs-tools(7)).
var initramfsFolders = []string{
	"usr/share/initramfs-tools/", "etc/initramfs-tools/", "etc/kernel/", "boot/vmlinu", "etc/modprobe.d/", "etc/modules-load.d/",
	"etc/udev/", "usr/lib/udev/hwdb.d/", "lib/udev/hwdb.d/", "etc/ld.so.conf.d/", "etc/default/keyboard", "etc/default/console-setup", "etc/cryptsetup-initramfs/",
}

// initramfsPackers are what mkinitramfs packs it with. No package needs them:
// where one is missing it takes gzip, and so one that comes a moment later
// would decide what the image is.
var initramfsPackers = []string{"zstd", "lz4", "lzop", "xz", "lzma", "bzip2", "pigz"}

// initramfsFirst moves what has a part in the initramfs, and all that it
// needs, to the front, so that the initramfs can be made while the others are
// still being configured. It returns how many came first.
func initramfsFirst(jobs []*job, native string) ([]*job, int, error) {
	if !has(jobs, "initramfs-tools") || len(kernelVersions(jobs)) == 0 {
		return jobs, 0, nil
	}
	deps, err := newDependencies(jobs, native)
	if err != nil {
		return nil, 0, err
	}
	first := map[*job]bool{}
	for _, j := range jobs {
		if !first[j] && partOfInitramfs(j) {
			first[j] = true
			if err := deps.closure(j, first, false); err != nil {
				return nil, 0, err
			}
		}
	}
	out := make([]*job, 0, len(jobs))
	for _, j := range jobs {
		if first[j] {
			out = append(out, j)
		}
	}
	n := len(out)
	for _, j := range jobs {
		if !first[j] {
			out = append(out, j)
		}
	}
	return out, n, nil
}

func partOfInitramfs(j *job) bool {
	part := false
	j.meta.files(func(path string) {
		for _, f := range initramfsFolders {
			part = part || strings.HasPrefix(path, f)
		}
		name, ok := strings.CutPrefix(strings.TrimPrefix(path, "usr/"), "bin/")
		part = part || ok && slices.Contains(initramfsPackers, name)
	})
	return part
}
