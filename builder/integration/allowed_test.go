package integration

// rule is one kind of difference from the reference that is as it should be.
type rule struct {
	path string // a pattern as path.Match has it; DIR/** is all below DIR
	what string // kinds of difference, see difference.what
	why  string
}

// allowed is the whole list of what may differ. A rule that matches nothing
// any more fails the test, so that the list stays as short as it can be.
var allowed = []rule{
	// What mmdebstrap leaves of the machine that it runs on, or writes itself.
	{"dev/*", "missing", "nodes that mmdebstrap makes; a kernel mounts its own over them"},
	{"etc/apt/sources.list", "missing", "the mirror that mmdebstrap was given; ours come from the recipe"},
	{"etc/fstab", "missing", "a comment by mmdebstrap; a target with a disk writes the real one"},
	{"etc/hostname", "missing", "the building machine's"},
	{"etc/resolv.conf", "missing", "the building machine's"},
	{"run/**", "missing", "made at boot"},
	{"var/cache/apt/archives/lock", "missing", "left by apt, which does not run in ours"},
	{"var/cache/apt/archives/partial", "mode owner", "made private by apt's first run; as the package has it in ours"},
	{"var/lib/apt/lists/partial", "mode owner", "made private by apt's first run; as the package has it in ours"},
	{"var/lib/apt/lists/lock", "missing", "left by apt, which does not run in ours"},

	// Packed by the builder, in blocks side by side; unpacked it is the same.
	{"boot/initrd.img-*", "packing", "gzip's format by another writer"},

	// Identity and secrets, which a node makes itself.
	{"etc/machine-id", "content mode", "the word that makes systemd see a first boot; mmdebstrap's empty file does not"},
	{"etc/ssh/ssh_host_*_key", "missing", "SSH host keys"},
	{"etc/ssh/ssh_host_*_key.pub", "missing", "SSH host keys"},
	{"etc/bind/rndc.key", "missing", "a secret"},

	// What the last but one change left behind.
	{"etc/*-", "missing", "backups of the files of accounts"},
	{"var/cache/debconf/*-old", "missing", "backups of debconf's database"},
	{"var/lib/dpkg/*-old", "missing", "backups of dpkg's database"},
}
