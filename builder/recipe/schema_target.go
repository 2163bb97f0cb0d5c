package recipe

// targetBlock is the block of one target; each kind of target is an entry of
// targetKinds and nothing else needs to change for a new one.
func targetBlock() *Block {
	return &Block{
		Name: "target", Label: "name of the target",
		Doc:     "One kind of image to pack the root filesystem into.",
		Example: "target \"vm\" {\n  formats   = [\"qcow2\", \"raw\"]\n  disk_size = \"8GiB\"\n}\n",
		Kinds:   targetKinds(),
	}
}

// every has the attributes that all targets have.
func every(attrs ...Attr) []Attr {
	return append(attrs, Attr{
		Name: "architectures", Type: listOf(archType), Default: "the image's, as far as the target has them",
		Doc: "Pack only these architectures of the image for this target; an empty list drops a target that was inherited.", Example: `["amd64"]`,
	})
}

func compressAttr() Attr {
	return Attr{
		Name: "compress", Type: oneOf("zstd", "gzip", "xz", "none"), Default: `"zstd"`,
		Doc: "Compression.", Example: `"zstd"`,
	}
}

func diskAttrs() []Attr {
	return []Attr{
		{Name: "disk_size", Type: diskSizeType, Default: "what the content and the headroom need", Doc: "Size of the whole disk, in whole MiB.", Example: `"8GiB"`},
		{Name: "headroom", Type: sizeType, Default: `"256MiB"`, Doc: "Free space in the root filesystem where `disk_size` is not given.", Example: `"1GiB"`},
		{Name: "boot", Type: listOf(oneOf("bios", "uefi")), Default: "what the architecture has", Doc: "Firmware the disk boots on; UEFI includes Secure Boot. BIOS is for amd64 and i386 and left out elsewhere.", Example: `["bios", "uefi"]`},
	}
}

func targetKinds() []*Block {
	return []*Block{
		{
			Name: "vm", Doc: "A disk image for virtual machines: GPT, boots on BIOS and UEFI.",
			Example: "target \"vm\" {\n  formats   = [\"qcow2\", \"raw\"]\n  disk_size = \"8GiB\"\n  boot      = [\"bios\", \"uefi\"]\n}\n",
			Attrs: every(append([]Attr{
				{Name: "formats", Type: listOf(oneOf("raw", "qcow2", "vmdk", "vhdx", "ova")), Default: `["qcow2"]`, Doc: "Disk formats to write: `raw` and `qcow2` for QEMU and Proxmox VE, `vmdk` for VMware, `vhdx` for Hyper-V, `ova` for VirtualBox and VMware.", Example: `["qcow2", "ova"]`},
			}, diskAttrs()...)...),
			Architectures: []string{"amd64", "arm64"},
		},
		{
			Name: "metal", Doc: "For real machines: a disk image for USB stick or SSD, and a hybrid ISO (live and install).",
			Example: "target \"metal\" {\n  formats = [\"raw.zst\", \"iso\"]\n}\n",
			Attrs: every(append([]Attr{
				{Name: "formats", Type: listOf(oneOf("raw", "raw.zst", "raw.xz", "raw.gz", "iso")), Default: `["raw.zst"]`, Doc: "What to write: a packed disk image with its block map, or an ISO that runs the system from CD or USB stick and installs it.", Example: `["raw.zst", "iso"]`},
				{Name: "arguments", Type: listOf(kernelArgumentType), Doc: "Kernel arguments of the ISO's first menu entry. With `cloudy.install` among them it installs without being asked: see [the page on metal](../targets/metal.md).", Example: `["cloudy.install=auto", "cloudy.hostname=node7"]`},
			}, diskAttrs()...)...),
			Architectures: []string{"amd64", "arm64"},
		},
		{
			Name: "lxc", Doc: "A system container for LXC: the pair of archives that `lxc-create -t local` takes.",
			Example: "target \"lxc\" {}\n", Attrs: every(),
		},
		{
			Name: "incus", Doc: "A system container for Incus and LXD.",
			Example: "target \"incus\" {\n  formats = [\"unified\", \"simplestreams\"]\n}\n",
			Attrs: every(
				Attr{Name: "formats", Type: listOf(oneOf("unified", "split", "simplestreams")), Default: `["unified"]`, Doc: "`unified` is one tarball for `incus image import`, `split` metadata and a squashfs, `simplestreams` a tarball of a folder that any web server can offer to `incus remote add --protocol simplestreams`.", Example: `["unified", "split"]`},
				Attr{Name: "compress", Type: oneOf("zstd", "gzip", "xz", "none"), Default: `"zstd"`, Doc: "Compression of the unified tarball; old hosts may want gzip or xz.", Example: `"xz"`},
			),
		},
		{
			Name: "proxmox", Doc: "A container template (vztmpl) for Proxmox VE.",
			Example: "target \"proxmox\" {}\n",
			Attrs: every(
				Attr{Name: "compress", Type: oneOf("zstd", "gzip", "xz"), Default: `"zstd"`, Doc: "Compression; old hosts may want gzip or xz.", Example: `"gzip"`},
			),
			Architectures: []string{"amd64", "arm64", "armhf", "i386", "riscv64"},
		},
		{
			Name: "nspawn", Doc: "A tarball for `machinectl import-tar`, with its `.nspawn` settings.",
			Example: "target \"nspawn\" {}\n",
			Attrs: every(
				Attr{Name: "compress", Type: oneOf("gzip", "xz", "zstd", "none"), Default: `"gzip"`, Doc: "Compression; not every `machinectl import-tar` knows zstd.", Example: `"xz"`},
			),
		},
		{
			Name: "openvz", Doc: "A template tarball for OpenVZ and Virtuozzo. The image must have ifupdown and net-tools, and for OpenVZ 7 sysvinit instead of systemd; the C library of Debian 13 does not run on OpenVZ 6.",
			Example: "target \"openvz\" {\n  host = \"openvz7\"\n}\n",
			Attrs: every(
				Attr{Name: "compress", Type: oneOf("gzip", "xz", "none"), Default: `"gzip"`, Doc: "Compression.", Example: `"xz"`},
				Attr{Name: "host", Type: oneOf("openvz7", "openvz9"), Default: `"openvz7"`, Doc: "Oldest host that must run it: `openvz7` has the kernel 3.10, which systemd refuses, `openvz9` the kernel 5.14.", Example: `"openvz9"`},
			),
			Architectures: []string{"amd64", "i386"},
		},
		{
			Name: "oci", Doc: "An OCI (Docker) image, with layers by how often they change.",
			Example: "target \"oci\" {\n  repository = \"registry.example.org/cloudy/node\"\n  tags       = [\"latest\"]\n}\n",
			Attrs: every(
				Attr{Name: "compress", Type: oneOf("gzip", "zstd"), Default: `"gzip"`, Doc: "Compression of the layers; every runtime takes gzip; zstd unpacks faster.", Example: `"zstd"`},
				Attr{Name: "repository", Type: stringType, Doc: "Where `cloudy push` takes it.", Example: `"registry.example.org/cloudy/node"`},
				Attr{Name: "tags", Type: listOf(wordType), Default: `["latest"]`, Doc: "Tags.", Example: `["latest", "13"]`},
				Attr{Name: "entrypoint", Type: listOf(stringType), Doc: "Entrypoint.", Example: `["/sbin/init"]`},
				Attr{Name: "command", Type: listOf(stringType), Doc: "Default arguments.", Example: `["--help"]`},
				Attr{Name: "env", Type: mapOf(stringType), Merge: Keys, Doc: "Environment variables.", Example: `{ LANG = "C.UTF-8" }`},
				Attr{Name: "labels", Type: mapOf(stringType), Merge: Keys, Doc: "Labels.", Example: `{ "org.opencontainers.image.source" = "https://example.org" }`},
				Attr{Name: "user", Type: userNameType, Default: `"root"`, Doc: "User that the container runs as.", Example: `"nobody"`},
				Attr{Name: "workdir", Type: pathType, Default: `"/"`, Doc: "Working folder.", Example: `"/srv"`},
				Attr{Name: "ports", Type: listOf(wordType), Doc: "Ports the container listens on.", Example: `["7000/tcp"]`},
			),
		},
		{
			Name: "tar", Doc: "The root filesystem as a tarball.",
			Example: "target \"tar\" {\n  compress = \"zstd\"\n}\n", Attrs: every(compressAttr()),
		},
		{
			Name: "sdcard", Doc: "An SD card for a single-board computer.",
			Example: "target \"sdcard\" {\n  board = \"raspberry-pi\"\n}\n",
			Attrs: every(
				Attr{Name: "board", Type: wordType, Required: true, Doc: "The board.", Example: `"raspberry-pi"`},
				Attr{Name: "disk_size", Type: diskSizeType, Default: "what the content needs", Doc: "Size of the whole card, in whole MiB.", Example: `"4GiB"`},
				Attr{Name: "formats", Type: listOf(oneOf("raw", "raw.zst", "raw.xz", "raw.gz")), Default: `["raw.zst"]`, Doc: "What to write.", Example: `["raw.xz"]`},
			),
			Architectures: []string{"arm64", "armhf", "riscv64"},
		},
		{
			Name: "openwrt", Doc: "Packages and a signed feed for OpenWRT, and a container to run on an OpenWRT host.",
			Example: "target \"openwrt\" {}\n",
			Attrs: every(
				Attr{Name: "profile", Type: wordType, Doc: "Device profile for a firmware image by the official ImageBuilder.", Example: `"generic"`},
			),
		},
		{
			Name: "galileo", Doc: "An SD card for the Intel Galileo (Quark: i586 without CMOV, MMX and SSE).",
			Example: "target \"galileo\" {}\n",
			Attrs: every(
				Attr{Name: "disk_size", Type: diskSizeType, Default: "what the content needs", Doc: "Size of the whole card, in whole MiB.", Example: `"4GiB"`},
			),
			Architectures: []string{"i386"},
		},
	}
}
