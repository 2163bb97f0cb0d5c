package lab

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cloudy/builder/fail"
)

// masked are units and generators that have nothing to do in a node of a lab:
// what they look after belongs to the machine below (devices, clock, kernel
// settings), or is done from outside (the network). Starting 43 nodes on two
// cores, each of them counts.
var masked = strings.Fields(`
	dev-hugepages.mount dev-mqueue.mount proc-sys-fs-binfmt_misc.automount sys-fs-fuse-connections.mount
	sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount tmp.mount
	systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service
	systemd-udev-load-credentials.service systemd-hwdb-update.service systemd-modules-load.service systemd-sysctl.service
	systemd-random-seed.service systemd-pstore.service systemd-remount-fs.service systemd-binfmt.service systemd-bsod.service
	systemd-tmpfiles-setup-dev.service systemd-tmpfiles-setup-dev-early.service systemd-tmpfiles-setup.service
	systemd-tmpfiles-clean.timer systemd-sysusers.service systemd-firstboot.service systemd-machine-id-commit.service
	systemd-journal-catalog-update.service systemd-journal-flush.service systemd-journald-audit.socket systemd-update-done.service
	systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-user-sessions.service systemd-logind.service
	systemd-ask-password-console.path systemd-ask-password-wall.path systemd-repart.service systemd-growfs-root.service
	systemd-pcrextend.socket systemd-pcrlock.socket systemd-creds.socket systemd-bootctl.socket systemd-sysext.socket
	systemd-hostnamed.socket systemd-networkd.service systemd-networkd.socket systemd-networkd-wait-online.service
	systemd-networkd-varlink.socket systemd-network-generator.service systemd-networkd-persistent-storage.service
	systemd-timesyncd.service networking.service ifupdown-pre.service ldconfig.service e2scrub_reap.service
	getty.target console-getty.service getty@.service container-getty@.service rc-local.service modprobe@.service
	kmod-static-nodes.service first-boot-complete.target tinc.service
`)

var maskedGenerators = strings.Fields(`
	systemd-bless-boot-generator systemd-cryptsetup-generator systemd-debug-generator systemd-fstab-generator
	systemd-getty-generator systemd-gpt-auto-generator systemd-hibernate-resume-generator systemd-integritysetup-generator
	systemd-rc-local-generator systemd-run-generator systemd-ssh-generator systemd-system-update-generator
	systemd-sysv-generator systemd-tpm2-generator systemd-veritysetup-generator netplan openvpn-generator
`)

const agentPath = "usr/bin/cloudy-node"

// writeLayer fills dir with what lies over the image in all nodes: what keeps
// units off, and the agent, which is the image's own unless agent names
// another.
func writeLayer(dir, agent string) error {
	l := layer{dir: dir}
	for _, u := range masked {
		l.link("etc/systemd/system/"+u, "/dev/null")
	}
	for _, g := range maskedGenerators {
		l.link("etc/systemd/system-generators/"+g, "/dev/null")
	}
	// The log of a node is in memory, and small.
	l.write("etc/systemd/journald.conf.d/lab.conf", []byte("[Journal]\nStorage=volatile\nRuntimeMaxUse=8M\nReadKMsg=no\nAudit=no\nSeal=no\n"), 0o644)
	if agent != "" {
		data, err := os.ReadFile(agent)
		if err != nil {
			return fail.Mark(fail.User, fmt.Errorf("the agent for the nodes: %w", err))
		}
		l.write(agentPath, data, 0o755)
	}
	return l.err
}

// layer is a folder that is written to until something goes wrong.
type layer struct {
	dir string
	err error
}

func (l *layer) at(name string) string {
	at := filepath.Join(l.dir, name)
	if l.err == nil {
		l.err = os.MkdirAll(filepath.Dir(at), 0o755)
	}
	return at
}

func (l *layer) write(name string, data []byte, mode fs.FileMode) {
	at := l.at(name)
	if l.err == nil {
		l.err = os.WriteFile(at, data, mode)
	}
}

func (l *layer) link(name, to string) {
	at := l.at(name)
	if l.err == nil {
		l.err = os.Symlink(to, at)
	}
}
