package recipe

// boardBlock describes a single-board computer for the target "sdcard".
func boardBlock() *Block {
	content := []Attr{
		{Name: "content", Type: stringType, Required: true, Doc: "The content.", Example: `"arm_64bit=1\n"`},
	}
	return &Block{
		Name: "board", Label: "name of the board, for `target \"sdcard\"`",
		Doc: "A single-board computer: what its boot ROM and firmware want to find on an SD card. Those in the program are used by their " +
			"names alone; one of the same name in the recipe stands instead. A file `boards/NAME.hcl` in the recipe folder is read too. " +
			"Texts may use `boot.kernel`, `boot.initrd` (file names in /boot), `boot.version` (of the kernel), `boot.root` (`UUID=…` of the root " +
			"filesystem), `boot.partuuid`, `boot.arguments` (the kernel's whole command line), `boot.console` and `boot.extra` (those parts of it), `boot.consoles` (their names).",
		Example: "board \"my-board\" {\n  from          = board.pine64\n  architectures = [\"arm64\"]\n\n  blob \"u-boot\" {\n    from = \"/usr/lib/u-boot/sopine_baseboard/u-boot-sunxi-with-spl.bin\"\n  }\n}\n",
		Attrs: []Attr{
			{Name: "from", Type: refType("board"), Doc: "Another board that stands in for what is not given here.", Example: `board.pine64`},
			{Name: "description", Type: stringType, Doc: "What the board is, in one line.", Example: `"Pine A64+"`},
			{Name: "architectures", Type: listOf(archType), Required: true, Doc: "Debian architectures that run on it.", Example: `["arm64"]`},
			{Name: "packages", Type: listOf(packageType), Merge: Append, Doc: "Packages that every image for the board gets: kernel, firmware, boot loader.", Example: `["linux-image-arm64", "u-boot-sunxi"]`},
			{Name: "scheme", Type: oneOf("mbr", "gpt"), Default: `"mbr"`, Doc: "Partition table. Boot ROMs that read at 8 KiB leave no room for a GPT.", Example: `"gpt"`},
			{Name: "start", Type: diskSizeType, Default: `"4MiB"`, Doc: "Where the first partition begins; blobs lie before it.", Example: `"16MiB"`},
			{Name: "arguments", Type: listOf(kernelArgumentType), Merge: Append, Doc: "Kernel arguments that the board needs.", Example: `["cma=64M"]`},
			{Name: "consoles", Type: listOf(wordType), Default: `["tty0"]`, Doc: "The kernel's consoles; the last one is /dev/console.", Example: `["tty0", "ttyS0,115200"]`},
			{Name: "extlinux", Type: boolType, Default: "false", Doc: "Write /boot/extlinux/extlinux.conf, which U-Boot looks for on a partition marked as bootable: the root's.", Example: `true`},
			{Name: "devicetree", Type: stringType, Default: "U-Boot chooses", Doc: "Device tree for extlinux.conf, below the kernel's folder of them.", Example: `"rockchip/rk3328-rock64.dtb"`},
		},
		Blocks: []*Block{
			{
				Name: "firmware", Doc: "The first partition, with a FAT filesystem. The firmware reads it where it can; the seed file `cloudy.txt` lies on it.",
				Example: "firmware {\n  size = \"256MiB\"\n\n  copy \"firmware\" {\n    from = [\"/usr/lib/raspi-firmware/*\"]\n  }\n\n  file \"cmdline.txt\" {\n    content = \"${boot.arguments}\\n\"\n  }\n}\n",
				Attrs: []Attr{
					{Name: "size", Type: diskSizeType, Default: `"64MiB"`, Doc: "Its size.", Example: `"256MiB"`},
					{Name: "label", Type: wordType, Default: `"CLOUDYBOOT"`, Doc: "Its label, at most 11 characters.", Example: `"BOOT"`},
					{Name: "mount", Type: pathType, Default: `"/boot/firmware"`, Doc: "Where the node mounts it. What the root has there goes onto the partition no more and no less than `copy` and `file` say.", Example: `"/boot/firmware"`},
				},
				Blocks: []*Block{
					{
						Name: "copy", Label: "any name", Doc: "Files of the root to copy onto the partition.",
						Example: "copy \"device trees\" {\n  from = [\"/usr/lib/linux-image-${boot.version}/broadcom/*.dtb\"]\n}\n",
						Attrs: []Attr{
							{Name: "from", Type: listOf(stringType), Required: true, Doc: "Absolute paths; `*` stands for any characters but `/`. A folder is copied with all that is in it. Each must match something.", Example: `["/boot/${boot.kernel}"]`},
							{Name: "to", Type: stringType, Default: `""`, Doc: "Folder on the partition.", Example: `"overlays"`},
							{Name: "optional", Type: boolType, Default: "false", Doc: "What matches nothing is left out.", Example: `true`},
						},
					},
					{Name: "file", Label: "path on the partition", Doc: "A file with content of its own.", Example: "file \"config.txt\" {\n  content = \"arm_64bit=1\\n\"\n}\n", Attrs: content, checkLabel: cardPath},
				},
			},
			{
				Name: "blob", Label: "any name", Doc: "A file of the root to write at a place of the card where no partition is.",
				Example: "blob \"u-boot\" {\n  from   = \"/usr/lib/u-boot/pine64_plus/u-boot-sunxi-with-spl.bin\"\n  offset = \"8KiB\"\n}\n",
				Attrs: []Attr{
					{Name: "from", Type: pathType, Required: true, Doc: "Absolute path in the root.", Example: `"/usr/lib/u-boot/rock64-rk3328/idbloader.img"`},
					{Name: "offset", Type: sizeType, Required: true, Doc: "Where it begins, in whole sectors of 512 bytes.", Example: `"32KiB"`},
				},
			},
			{Name: "file", Label: "absolute path in the root", Doc: "A file of the root that depends on the board, such as settings of hooks that run when a kernel is upgraded. It replaces the packages' one.", Example: "file \"/etc/default/u-boot\" {\n  content = \"U_BOOT_ROOT=\\\"root=${boot.root}\\\"\\n\"\n}\n", Attrs: content, checkLabel: absolutePath},
		},
		checkLabel: identifier,
	}
}
