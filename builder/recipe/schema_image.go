package recipe

import (
	"strconv"

	"cloudy/firstboot/nodeconfig"
)

func imageBlock() *Block {
	return &Block{
		Name: "image", Label: "name of the image, used as `image.NAME` and on the command line",
		Doc: "A root filesystem and the targets it is packed for. It is evaluated once for each architecture, with `arch` as its name.",
		Example: "image \"minimal\" {\n  packages = [\"openssh-server\"]\n}\n\nimage \"node\" {\n  from          = image.minimal\n  architectures = [\"amd64\", \"arm64\"]\n" +
			"  packages      = [\"tinc\", \"avahi-daemon\"]\n\n  target \"vm\" {\n    formats = [\"qcow2\"]\n  }\n}\n",
		Attrs: []Attr{
			{Name: "description", Type: stringType, Doc: "What the image is, in one line.", Example: `"A node of the community network."`},
			{Name: "from", Type: refType("image"), Doc: "The image this one builds on. Lists are appended, blocks with the same label are merged, other values are replaced; each attribute below says which.", Example: `image.minimal`},
			{Name: "architectures", Type: listOf(archType), Default: `["amd64", "arm64"]`, Doc: "Debian architectures the image can be built for.", Example: `["amd64", "arm64", "armhf"]`},
			{Name: "variant", Type: oneOf("minbase", "essential"), Default: `"minbase"`, Doc: "What every root starts from: `essential` is the Essential packages alone, `minbase` adds apt and the packages of priority required.", Example: `"minbase"`},
			{Name: "packages", Type: listOf(packageItemType), Merge: Append, Doc: "Packages to install: `name`; `name=version`; `name/suite`; `name:arch`. `-name` drops one that was inherited or that the variant brings, an essential one as well, and keeps it from coming in as a recommendation.", Example: `["tinc", "-nano", "asterisk/forky", "libc6:armhf"]`},
			{Name: "recommends", Type: boolType, Default: "false", Doc: "Install what packages recommend, too.", Example: `true`},
			{Name: "archives", Type: listOf(refType("archive")), Default: "all archives", Doc: "Archives to take packages from.", Example: `[archive.debian]`},
			{Name: "services", Type: listOf(refType("service")), Merge: Append, Doc: "Services that the node can offer. Their packages are installed.", Example: `[service.etcd]`},
			{Name: "overlay", Type: listOf(overlayNameType), Merge: Append, Doc: "Folders of `overlays/` laid over the root, in this order.", Example: `["common"]`},
			{Name: "exclude", Type: listOf(excludeType), Merge: Append, Doc: "Paths of packages that are not unpacked, as dpkg's path-exclude; `*` also matches `/`. With a leading `!` the path is kept after all. The last match counts.", Example: `["/usr/share/man/*", "/usr/share/doc/*", "!/usr/share/doc/*/copyright"]`},
			{Name: "hostname", Type: hostnameType, Default: "left as it is", Doc: "Host name (RFC 1123). Also written to /etc/hosts.", Example: `"node"`},
			{Name: "locale", Type: localeType, Default: "left as it is", Doc: "System locale. Others than `C.UTF-8` are generated, by the package `locales`, which comes in for it.", Example: `"en_GB.UTF-8"`},
			{Name: "timezone", Type: timezoneType, Default: "left as it is", Doc: "Time zone (tzdata name).", Example: `"Europe/Madrid"`},
			{Name: "grow", Type: growType, Default: "true", Doc: "Grow the root filesystem at first boot: `true` to the whole disk, a size for no more than that, `false` never.", Example: `"16GiB"`},
			{Name: "release", Type: stringType, Doc: "Version of the image, for its os-release and metadata.", Example: `"2026.1"`},
			{Name: "source_date_epoch", Type: intType(0, 1<<40), Doc: "Time stamp of the build in seconds since 1970 (UTC). Default: that of SOURCE_DATE_EPOCH in the environment, else the newest Date of the archives' signed Release files. A lock keeps it.", Example: `1767225600`},
		},
		Blocks: []*Block{
			fileBlock(), directoryBlock(), userBlock(), groupBlock(), debconfBlock(), runBlock(), unitsBlock(),
			kernelBlock(), initramfsBlock(), meshBlock(), pageBlock(), targetBlock(),
		},
		checkLabel: identifier,
	}
}

func ownership(mode string) []Attr {
	return []Attr{
		{Name: "owner", Type: userNameType, Default: `"root"`, Doc: "User name or number.", Example: `"root"`},
		{Name: "group", Type: userNameType, Default: `"root"`, Doc: "Group name or number.", Example: `"adm"`},
		{Name: "mode", Type: modeType, Default: mode, Doc: "Permission bits in octal.", Example: `"0640"`},
	}
}

func fileBlock() *Block {
	return &Block{
		Name: "file", Label: "absolute path in the image",
		Doc:     "One file, symbolic link, or the absence of one. Laid over the root after the overlays.",
		Example: "file \"/etc/motd\" {\n  content = \"This is ${var.network}.\\n\"\n}\n\nfile \"/etc/localtime.bak\" {\n  absent = true\n}\n",
		Attrs: append([]Attr{
			{Name: "content", Type: stringType, Doc: "The content.", Example: `templatefile("motd.tpl", { network = var.network })`},
			{Name: "source", Type: sourceFileType, Doc: "A file of the recipe folder that holds the content.", Example: `"motd.txt"`},
			{Name: "link", Type: stringType, Doc: "Make a symbolic link with this target.", Example: `"/run/motd"`},
			{Name: "absent", Type: boolType, Doc: "Remove the file (or empty folder) if it is there.", Example: `true`},
		}, ownership(`"0644"`)...),
		OneOf:      [][]string{{"content", "source", "link", "absent"}},
		checkLabel: absolutePath,
	}
}

func directoryBlock() *Block {
	return &Block{
		Name: "directory", Label: "absolute path in the image",
		Doc:     "A folder that must exist, with owner and mode.",
		Example: "directory \"/var/lib/cloudy\" {\n  mode = \"0750\"\n}\n",
		Attrs:   ownership(`"0755"`), checkLabel: absolutePath,
	}
}

func userBlock() *Block {
	return &Block{
		Name: "user", Label: "login name",
		Doc:     "A user account. Without a password attribute nobody can log in by password. `user \"root\"` changes root.",
		Example: "user \"guest\" {\n  groups              = [\"sudo\"]\n  ssh_authorized_keys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUzJ2Jm3qM9m8b0bYI0xq0q3dVb2k4bY6v4xH0fN1aB guest\"]\n}\n",
		Attrs: []Attr{
			{Name: "uid", Type: intType(0, 65533), Doc: "User number. Default: the next free one.", Example: `1000`},
			{Name: "group", Type: userNameType, Doc: "Primary group. Default: a group of the user's name.", Example: `"users"`},
			{Name: "groups", Type: listOf(userNameType), Merge: Append, Doc: "Further groups; they must exist.", Example: `["sudo"]`},
			{Name: "comment", Type: gecosType, Doc: "Full name (the GECOS field).", Example: `"Guest of the node"`},
			{Name: "shell", Type: pathType, Default: `"/bin/bash"`, Doc: "Login shell. System accounts have /usr/sbin/nologin.", Example: `"/bin/sh"`},
			{Name: "home", Type: pathType, Default: "/home/NAME", Doc: "Home folder. System accounts have /nonexistent and get none made.", Example: `"/srv/guest"`},
			{Name: "password_hash", Type: passwordHashType, Doc: "Password as crypt(5) hash, made by `mkpasswd`. Never the password itself.", Example: `"$y$j9T$uk5MBRgA7HNC6Nm2LZ3kl0$6K9X1eWbCxgaMbGO5n0qB4Sz4Y1nV3lqAWzZ6pJhWl9"`},
			{Name: "no_password", Type: boolType, Default: "false", Doc: "Log in without a password. For test images.", Example: `true`},
			{Name: "lock", Type: boolType, Default: "false", Doc: "Lock the account: no login of any kind, also not by SSH key.", Example: `true`},
			{Name: "ssh_authorized_keys", Type: listOf(sshKeyType), Merge: Append, Doc: "Public keys that may log in.", Example: `["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUzJ2Jm3qM9m8b0bYI0xq0q3dVb2k4bY6v4xH0fN1aB guest"]`},
			{Name: "system", Type: boolType, Default: "false", Doc: "A system account: number below 1000, no home.", Example: `true`},
		},
		Exclusive:  [][]string{{"password_hash", "no_password", "lock"}},
		checkLabel: userName,
	}
}

func groupBlock() *Block {
	return &Block{
		Name: "group", Label: "name of the group", Doc: "A group.",
		Example: "group \"mesh\" {\n  system = true\n}\n",
		Attrs: []Attr{
			{Name: "gid", Type: intType(0, 65533), Doc: "Group number. Default: the next free one.", Example: `1000`},
			{Name: "system", Type: boolType, Default: "false", Doc: "A system group: number below 1000.", Example: `true`},
		},
		checkLabel: userName,
	}
}

func debconfBlock() *Block {
	return &Block{
		Name: "debconf", Label: "PACKAGE/QUESTION",
		Doc:     "The answer to a question a package asks when it is configured.",
		Example: "debconf \"tzdata/Areas\" {\n  type  = \"select\"\n  value = \"Europe\"\n}\n",
		Attrs: []Attr{
			{Name: "package", Type: packageType, Default: "the part of the label before the slash", Doc: "Package that owns the question, where the label does not begin with its name.", Example: `"tzdata"`},
			{Name: "type", Type: oneOf("select", "multiselect", "string", "boolean", "password", "note", "text", "error", "title"), Required: true, Doc: "Type of the question (debconf-devel(7)).", Example: `"select"`},
			{Name: "value", Type: stringType, Required: true, Doc: "The answer.", Example: `"Europe"`},
		},
		checkLabel: debconfQuestion,
	}
}

func runBlock() *Block {
	return &Block{
		Name: "run", Label: "name of the step",
		Doc: "A command inside the image, as root, in the order of the recipe, after packages, overlays, files and users. " +
			"Its result is cached; it runs again when what it reads has changed.",
		Example: "run \"locale\" {\n  command = [\"locale-gen\"]\n  inputs  = [\"/etc/locale.gen\"]\n}\n",
		Attrs: []Attr{
			{Name: "command", Type: listOf(stringType), Doc: "Program and arguments; no shell.", Example: `["locale-gen"]`},
			{Name: "script", Type: stringType, Doc: "A script for `/bin/sh -eu`, or with `#!` for another interpreter.", Example: `"locale-gen\nupdate-locale\n"`},
			{Name: "env", Type: mapOf(stringType), Merge: Keys, Doc: "Environment variables. Nothing of the building machine's environment is passed on.", Example: `{ LANG = "C.UTF-8" }`},
			{Name: "network", Type: boolType, Default: "false", Doc: "Give the command the network. The result is then no longer a matter of the lock alone.", Example: `true`},
			{Name: "timeout", Type: durationType, Default: `"10m"`, Doc: "The step fails when it takes longer.", Example: `"2m"`},
			{Name: "inputs", Type: listOf(globType), Default: "the whole image", Doc: "Paths in the image that the command reads. The step runs again only when they, the packages or the command change.", Example: `["/etc/locale.gen"]`},
		},
		OneOf:      [][]string{{"command", "script"}},
		checkLabel: identifier,
	}
}

func unitsBlock() *Block {
	return &Block{
		Name: "units", Doc: "Which systemd units start at boot. Written as a preset, so it also holds for packages installed later.",
		Example: "units {\n  enable  = [\"systemd-networkd.service\"]\n  disable = [\"etcd.service\"]\n  mask    = [\"apt-daily.timer\"]\n}\n",
		Attrs: []Attr{
			{Name: "enable", Type: listOf(unitType), Merge: Append, Doc: "Units that start.", Example: `["ssh.service"]`},
			{Name: "disable", Type: listOf(unitType), Merge: Append, Doc: "Units that do not start by themselves.", Example: `["etcd.service"]`},
			{Name: "mask", Type: listOf(unitType), Merge: Append, Doc: "Units that cannot be started at all.", Example: `["apt-daily.timer"]`},
		},
	}
}

func kernelBlock() *Block {
	return &Block{
		Name: "kernel", Doc: "What the boot loader passes to the kernel.",
		Example: "kernel {\n  arguments = [\"console=tty0\", \"console=ttyS0\"]\n}\n",
		Attrs: []Attr{
			{Name: "arguments", Type: listOf(kernelArgumentType), Merge: Append, Doc: "Kernel command line, without `root=`, which the target adds.", Example: `["console=ttyS0", "quiet"]`},
		},
	}
}

func initramfsBlock() *Block {
	return &Block{
		Name: "initramfs", Doc: "The initial RAM filesystem that initramfs-tools makes, once, at the end.",
		Example: "initramfs {\n  modules = \"most\"\n  include = [\"nvme\"]\n}\n",
		Attrs: []Attr{
			{Name: "modules", Type: oneOf("most", "list"), Default: `"most"`, Doc: "`most` takes all storage and filesystem drivers, `list` only those of `include`. (`dep` would look at the building machine.)", Example: `"most"`},
			{Name: "include", Type: listOf(wordType), Merge: Append, Doc: "Kernel modules to put in and load.", Example: `["nvme", "virtio_blk"]`},
			{Name: "compress", Type: oneOf("zstd", "gzip", "xz", "lz4"), Default: `"zstd"`, Doc: "Compression.", Example: `"zstd"`},
		},
	}
}

func pageBlock() *Block {
	return &Block{
		Name: "page", Doc: "The node's page, where its owner sees and runs the node with a browser. Every image with the node's agent has it; this block changes it. " +
			"Passwords are made at the first boot, different on each node; see [the node's page](../page.md).",
		Example: "page {\n  demo = true\n}\n",
		Attrs: []Attr{
			{Name: "off", Type: boolType, Default: "false", Doc: "No page.", Example: `true`},
			{Name: "demo", Type: boolType, Default: "false", Doc: "For an image that is shown around: the account `guest`, which reads, has the password `guest`, and plain HTTP is served instead of leading to TLS.", Example: `true`},
			{Name: "http_port", Type: intType(1, 65535), Default: strconv.Itoa(nodeconfig.DefaultHTTPPort), Doc: "TCP port of plain HTTP, which leads to TLS.", Example: `7000`},
			{Name: "tls_port", Type: intType(1, 65535), Default: strconv.Itoa(nodeconfig.DefaultTLSPort), Doc: "TCP port of TLS.", Example: `7443`},
		},
	}
}

func meshBlock() *Block {
	return &Block{
		Name: "mesh", Doc: "The image has the node's agent, which brings the node into a mesh at first boot and keeps it there. With an empty block " +
			"it waits for an invitation: in `cloudy.txt` on the boot partition, as the system credential `cloudy.invitation`, or by `cloudy-node join`. " +
			"`mode` and `prefix` are those of a mesh that the node founds; who joins takes what the mesh has.",
		Example: "mesh {\n  network    = var.network\n  invitation = var.invitation\n}\n",
		Attrs: []Attr{
			{Name: "network", Type: networkType, Default: "any", Doc: "Name of the mesh. The node joins no other.", Example: `"guifi"`},
			{Name: "invitation", Type: invitationType, Doc: "Invitation of a member. It is a secret that lets its holder join: take it from a sensitive variable, or leave it out and give it on the node.", Example: `"` + exampleInvitation + `"`},
			{Name: "peers", Type: listOf(wordType), Merge: Append, Doc: "Addresses of members to ask beside the one that the invitation names, `host` or `host:port`.", Example: `["mesh.example.org:7655"]`},
			{Name: "create", Type: boolType, Default: "false", Doc: "The node founds the mesh `network`, as its root. For an image of one node.", Example: `true`},
			{Name: "mode", Type: oneOf("switch", "router"), Default: `"switch"`, Doc: "How tinc carries the mesh: `switch` as one Ethernet, `router` by addresses.", Example: `"router"`},
			{Name: "prefix", Type: prefix4Type, Default: `"` + nodeconfig.DefaultPrefix4 + `"`, Doc: "IPv4 prefix of the mesh's addresses, of 28 bits or less.", Example: `"10.20.0.0/16"`},
			{Name: "interface", Type: interfaceType, Default: `"` + nodeconfig.DefaultInterface + `"`, Doc: "Name of the mesh's network interface.", Example: `"mesh0"`},
			{Name: "port", Type: intType(1, 65535), Default: strconv.Itoa(nodeconfig.DefaultTincPort), Doc: "Port of tinc, TCP and UDP.", Example: `655`},
			{Name: "join_port", Type: intType(1, 65535), Default: strconv.Itoa(nodeconfig.DefaultJoinPort), Doc: "TCP port where newcomers ask to join.", Example: `7655`},
			{Name: "gossip_port", Type: intType(1, 65535), Default: strconv.Itoa(nodeconfig.DefaultGossipPort), Doc: "Port of the gossip inside the mesh, TCP and UDP.", Example: `7946`},
			{Name: "tcp_only", Type: boolType, Default: "false", Doc: "Carry the mesh by TCP alone, where UDP does not pass.", Example: `true`},
			{Name: "advertise", Type: listOf(addressType), Default: "those of the node's interfaces", Doc: "Addresses at which others reach the node.", Example: `["192.0.2.7"]`},
			{Name: "mdns", Type: oneOf("auto", "overlay", "bridge"), Default: `"auto"`, Doc: "Multicast DNS on the mesh: `overlay` always, `bridge` never, and then the services of others are shown in the node's own Avahi; `auto` is the first up to `mdns_limit` members, the second above.", Example: `"bridge"`},
			{Name: "mdns_limit", Type: intType(1, 5000), Default: strconv.Itoa(nodeconfig.DefaultMDNSLimit), Doc: "How many living members are few enough for multicast DNS on the mesh.", Example: `50`},
			{Name: "mdns_types", Type: listOf(serviceTypeType), Default: "those of community networks and common ones", Doc: "Types of services of others that the bridge shows.", Example: `["_http._tcp"]`},
		},
	}
}
