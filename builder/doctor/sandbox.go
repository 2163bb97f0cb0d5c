package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"cloudy/builder/fail"
	"cloudy/builder/sandbox"
)

// checkSandbox looks at what it takes to run maintainer scripts in a root.
func checkSandbox(ctx context.Context, dir string) []Finding {
	return fromReport(sandbox.Detect(ctx, dir), foreignHandlers("/proc/sys/fs/binfmt_misc"))
}

func fromReport(r sandbox.Report, handlers []string) []Finding {
	list := []Finding{modeFinding(r)}
	if r.NeedSubIDs {
		list = append(list,
			idFinding("subordinate user ids", r.SubUIDs, r.SubUIDErr),
			idFinding("subordinate group ids", r.SubGIDs, r.SubGIDErr),
			helperFinding("newuidmap", r.NewUIDMap), helperFinding("newgidmap", r.NewGIDMap))
		if r.SubUIDErr == nil && r.SubGIDErr == nil && r.NewUIDMap != "" && r.NewGIDMap != "" {
			f := Finding{Name: "user namespaces", Level: OK, Detail: "they can be made and used"}
			if r.UserNamespaces != nil {
				f = Finding{f.Name, Fail, r.UserNamespaces.Error(), fail.HintOf(r.UserNamespaces)}
			}
			list = append(list, f)
		}
	}
	if r.Mode == sandbox.ModeAuto {
		return list
	}
	return append(list,
		feature("overlayfs", r.Overlay, "layers are shown through it", "`run` steps copy the layers below them instead, which takes time and space.",
			"Put the cache on ext4, xfs or btrfs, and use Linux 5.11 or later."),
		feature("seccomp", r.Seccomp, "syncs cost nothing during a build", "packages wait for the disk as they would on a real machine.",
			"Build as an ordinary user or with CAP_SYS_ADMIN, on a kernel with CONFIG_SECCOMP_FILTER."),
		feature("fresh /proc", r.Proc, "scripts see their own processes only", "scripts see the processes outside.",
			"Run the container with its /proc unmasked, for example with --security-opt systempaths=unconfined."),
		foreignFinding(r, handlers))
}

func modeFinding(r sandbox.Report) Finding {
	f := Finding{Name: "way to build", Level: OK}
	switch r.Mode {
	case sandbox.ModeRoot:
		f.Detail = "as root, in private namespaces"
	case sandbox.ModeUserNS:
		f.Detail = "as an ordinary user, in a user namespace"
	case sandbox.ModePlain:
		f.Level, f.Detail = Warn, "as root by chroot alone: no isolation of scripts, no layers"
		f.Fix = "Give the container CAP_SYS_ADMIN, or let it make user namespaces."
	default:
		f.Level, f.Detail = Fail, "none"
		if r.Err != nil {
			f.Detail, f.Fix = r.Err.Error(), fail.HintOf(r.Err)
		}
	}
	return f
}

func idFinding(name string, ranges []sandbox.IDRange, err error) Finding {
	if err != nil {
		return Finding{name, Fail, err.Error(), fail.HintOf(err)}
	}
	var parts []string
	for _, r := range ranges {
		parts = append(parts, fmt.Sprintf("%d from %d on", r.Count, r.Outside))
	}
	return Finding{Name: name, Level: OK, Detail: strings.Join(parts, ", ")}
}

func helperFinding(name, path string) Finding {
	if path == "" {
		return Finding{name, Fail, "not found in PATH", "Install it: `sudo apt install uidmap` on Debian and Ubuntu, package shadow-utils elsewhere."}
	}
	f := Finding{Name: name, Level: OK, Detail: path}
	if fi, err := os.Stat(path); err == nil && fi.Mode()&os.ModeSetuid == 0 && !hasFileCaps(path) {
		f.Level, f.Detail = Fail, path+" is neither setuid root nor has file capabilities"
		f.Fix = fmt.Sprintf("Reinstall its package (uidmap on Debian), or as root: `chmod u+s %s`.", path)
	}
	return f
}

func feature(name string, err error, good, bad, fix string) Finding {
	if err == nil {
		return Finding{Name: name, Level: OK, Detail: good}
	}
	return Finding{name, Warn, fmt.Sprintf("%v; %s", err, strings.TrimSuffix(bad, ".")), fix}
}

// foreignHandlers are the enabled handlers for programs of other
// architectures, by the names that Debian and systemd give them. Only those
// with flag F work inside a root.
func foreignHandlers(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "qemu-*"))
	var names []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(data), "enabled") {
			continue
		}
		for line := range strings.Lines(string(data)) {
			if flags, ok := strings.CutPrefix(line, "flags:"); ok && strings.Contains(flags, "F") {
				names = append(names, strings.TrimPrefix(filepath.Base(file), "qemu-"))
			}
		}
	}
	return names
}

// foreignFinding is about images for other architectures, which most builds are not.
func foreignFinding(r sandbox.Report, handlers []string) Finding {
	f := Finding{Name: "other architectures", Level: OK}
	switch {
	case len(handlers) > 0:
		f.Detail = "programs for " + strings.Join(handlers, ", ") + " run through qemu-user"
	case r.BinfmtMisc == nil:
		f.Detail = "each build can have emulators of its own"
	default:
		f.Level, f.Detail = Warn, "programs of other architectures cannot run: "+r.BinfmtMisc.Error()
		f.Fix = "For images of another architecture: " + sandbox.EmulationHint + "."
	}
	return f
}
