package recipe

func variableBlock() *Block {
	return &Block{
		Name: "variable", Label: "name of the variable, used as `var.NAME`",
		Doc: "A value that is set from outside. From weakest to strongest: `default`, the environment (`CLOUDY_VAR_NAME`), " +
			"`*.auto.vars.hcl` files in the recipe folder by name, then `--var-file` and `--var` in the order of the command line.",
		Example: "variable \"network\" {\n  type        = string\n  default     = \"guifi\"\n  description = \"The community network whose mesh the node joins.\"\n\n" +
			"  validation {\n    condition     = length(var.network) > 0\n    error_message = \"The network needs a name.\"\n  }\n}\n",
		Attrs: []Attr{
			{Name: "type", Type: typeExpr, Default: "any", Doc: "Type constraint: `string`, `number`, `bool`, `any`, `list(…)`, `set(…)`, `map(…)`, `tuple([…])`, `object({…})` with `optional(TYPE, DEFAULT)`.", Example: `object({ name = string, port = optional(number, 22) })`},
			{Name: "default", Type: anyType, Doc: "Value when nothing else sets it. A variable without a default must be set. A constant: no references.", Example: `"guifi"`},
			{Name: "description", Type: stringType, Doc: "What the variable is for.", Example: `"The community network whose mesh the node joins."`},
			{Name: "sensitive", Type: boolType, Default: "false", Doc: "Hide the value, and all that is made from it, in whatever is printed. It still ends up in the image.", Example: `true`},
			{Name: "nullable", Type: boolType, Default: "true", Doc: "Whether the value may be null.", Example: `false`},
		},
		Blocks: []*Block{{
			Name: "validation", Doc: "A condition that the value must meet. Can stand several times.",
			Example: "validation {\n  condition     = length(var.name) < 64\n  error_message = \"A name has 63 characters at most.\"\n}\n",
			Attrs: []Attr{
				{Name: "condition", Type: rawExpr, Required: true, Doc: "True when the value is good. May use `var.*` and functions.", Example: `length(var.name) > 0`},
				{Name: "error_message", Type: rawExpr, Required: true, Doc: "What to say when it is not.", Example: `"The name is empty."`},
			},
		}},
		checkLabel: identifier,
	}
}

func localsBlock() *Block {
	return &Block{
		Name: "locals", Free: true,
		Doc: "Names for expressions, used as `local.NAME`. May use variables, other locals and `arch`, in any order. " +
			"Can stand several times.",
		Example: "locals {\n  kernel = {\n    amd64 = \"linux-image-cloud-amd64\"\n    arm64 = \"linux-image-cloud-arm64\"\n  }\n}\n",
	}
}

func archiveBlock() *Block {
	return &Block{
		Name: "archive", Label: "name of the archive, used as `archive.NAME`",
		Doc: "A Debian archive to take packages from. The archives `debian` and `debian-security` need no `url`: the mirror is chosen " +
			"on the building machine (`--mirror`, `CLOUDY_MIRROR`, its own apt sources, an official default), and their signatures are " +
			"checked with Debian's keys. Any other archive needs `url` and `keyring`.",
		Example: "archive \"debian\" {\n  suites     = [\"trixie\", \"trixie-updates\"]\n  components = [\"main\", \"non-free-firmware\"]\n}\n\n" +
			"archive \"forky\" {\n  from   = archive.debian\n  suites = [\"forky\"]\n  only   = [\"asterisk*\"]\n}\n",
		Attrs: []Attr{
			{Name: "from", Type: refType("archive"), Doc: "Another archive whose attributes stand in for those not given here: same place, other suites.", Example: `archive.debian`},
			{Name: "url", Type: urlType, Doc: "Where the archive is: the URL of the folder that holds `dists/`.", Example: `"https://packages.example.org/debian"`},
			{Name: "suites", Type: listOf(suiteType), Required: true, Doc: "Suites, by suite name or code name. One that ends in `/` is a flat archive's folder and has no components.", Example: `["trixie", "trixie-updates"]`},
			{Name: "components", Type: listOf(wordType), Default: `["main"]`, Doc: "Components of each suite.", Example: `["main", "non-free-firmware"]`},
			{Name: "keyring", Type: sourceFileType, Doc: "OpenPGP public keys that may sign the archive: a file in the recipe folder, armoured or binary.", Example: `"keys/example.asc"`},
			{Name: "fingerprints", Type: listOf(fingerprintType), Doc: "Only these keys of the keyring may sign: fingerprints of 40 or 64 hexadecimal digits.", Example: `["1F89983E0081FDE018F3CC9673A4F27B8DD47936"]`},
			{Name: "only", Type: listOf(packageGlobType), Doc: "Nothing but these packages comes from this archive; `*` stands for any characters. Their dependencies come from elsewhere unless named too.", Example: `["asterisk*"]`},
			{Name: "pin", Type: intType(-32768, 32767), Default: "500", Doc: "Priority as in apt_preferences(5): above 1000 downgrades, 990 beats the default, 100 only when nothing else has the package, below 0 never.", Example: `990`},
			{Name: "architectures", Type: listOf(archType), Doc: "The archive is only used for these architectures. Default: all.", Example: `["amd64"]`},
		},
		checkLabel: identifier,
	}
}

func serviceBlock() *Block {
	announce := &Block{
		Name: "announce", Doc: "How the node announces the service in its network, by DNS-SD.",
		Example: "announce {\n  type = \"_tahoe-lafs._tcp\"\n  port = 3456\n  txt  = { grid = \"public\" }\n}\n",
		Attrs: []Attr{
			{Name: "type", Type: serviceTypeType, Required: true, Doc: "DNS-SD service type (RFC 6763).", Example: `"_tahoe-lafs._tcp"`},
			{Name: "port", Type: intType(1, 65535), Required: true, Doc: "TCP or UDP port.", Example: `3456`},
			{Name: "txt", Type: mapOf(stringType), Doc: "TXT record: keys and values.", Example: `{ role = "introducer" }`, Merge: Keys},
		},
	}
	health := &Block{
		Name: "health", Doc: "How the node finds out whether the service works.",
		Example: "health {\n  http     = \"http://127.0.0.1:3456/\"\n  interval = \"30s\"\n}\n",
		Attrs: []Attr{
			{Name: "http", Type: urlType, Doc: "Healthy when a GET answers with 2xx.", Example: `"http://127.0.0.1:3456/"`},
			{Name: "tcp", Type: intType(1, 65535), Doc: "Healthy when this port of the node itself accepts connections.", Example: `22`},
			{Name: "unit", Type: unitType, Doc: "Healthy when this systemd unit is active.", Example: `"ssh.service"`},
			{Name: "command", Type: listOf(stringType), Doc: "Healthy when this command ends with 0.", Example: `["etcdctl", "endpoint", "health"]`},
			{Name: "interval", Type: durationType, Default: `"30s"`, Doc: "Time between two checks.", Example: `"1m"`},
			{Name: "timeout", Type: durationType, Default: `"10s"`, Doc: "A check that takes longer has failed.", Example: `"5s"`},
		},
		OneOf: [][]string{{"http", "tcp", "unit", "command"}},
	}
	role := &Block{
		Name: "role", Label: "name of the role", Doc: "One of the parts a node can play in the service.",
		Example: "role \"storage\" {\n  description = \"Keeps shares of others.\"\n}\n",
		Attrs: []Attr{
			{Name: "description", Type: stringType, Doc: "What a node in this role does.", Example: `"Keeps shares of others."`},
			{Name: "packages", Type: listOf(packageType), Doc: "Packages for this role. They are installed in every image that has the service: roles are chosen on the node.", Example: `["tahoe-lafs"]`},
			{Name: "units", Type: listOf(unitType), Doc: "systemd units that run in this role.", Example: `["tahoe-lafs@storage.service"]`},
			{Name: "default", Type: boolType, Default: "false", Doc: "Whether a fresh node takes this role.", Example: `true`},
		},
		Blocks:     []*Block{announce, health},
		checkLabel: identifier,
	}
	return &Block{
		Name: "service", Label: "name of the service, used as `service.NAME`",
		Doc: "A service that nodes can offer. An image has it by `services = [service.NAME]`, and then the node's agent too, which starts the service, checks it " +
			"and announces it. Each role is a service of its own on the node, named SERVICE-ROLE, with the units of both; what it does not announce or check itself it has from the service.",
		Example: "service \"tahoe-lafs\" {\n  packages = [\"tahoe-lafs\"]\n\n  role \"storage\" {\n    units = [\"tahoe-lafs@storage.service\"]\n  }\n\n" +
			"  announce {\n    type = \"_tahoe-lafs._tcp\"\n    port = 3456\n  }\n\n  health {\n    tcp = 3456\n  }\n}\n",
		Attrs: []Attr{
			{Name: "description", Type: stringType, Doc: "What the service is called where it is announced, in a few words. Default: its name.", Example: `"Tahoe-LAFS storage"`},
			{Name: "packages", Type: listOf(packageType), Doc: "Packages of the service.", Example: `["tahoe-lafs"]`},
			{Name: "overlay", Type: listOf(overlayNameType), Doc: "Overlays laid over the root of every image with the service.", Example: `["common"]`},
			{Name: "units", Type: listOf(unitType), Doc: "systemd units of the service. They are off until the node turns the service on.", Example: `["etcd.service"]`},
			{Name: "enabled", Type: boolType, Default: "false", Doc: "Whether a fresh node offers the service. In a service with roles each role has its own `default`.", Example: `true`},
		},
		Blocks:     []*Block{role, announce, health},
		checkLabel: identifier,
	}
}

func overlayBlock() *Block {
	return &Block{
		Name: "overlay", Label: "name of the overlay: a folder in `overlays/`",
		Doc: "Owners and modes of the files of `overlays/NAME/`. Without rules all belongs to root:root; folders have mode 0755, files 0644, " +
			"and 0755 when they are executable or begin with `#!`. The checkout's owners, times and umask never count.",
		Example: "overlay \"common\" {\n  rule \"etc/sudoers.d/*\" {\n    mode = \"0440\"\n  }\n}\n",
		Blocks: []*Block{{
			Name: "rule", Label: "glob for paths in the overlay; `*` stops at `/`, `**` does not",
			Doc:     "What holds for the paths that match. A later rule beats an earlier one, attribute by attribute.",
			Example: "rule \"var/lib/tahoe-lafs/**\" {\n  owner = \"tahoe\"\n  group = \"tahoe\"\n}\n",
			Attrs: []Attr{
				{Name: "owner", Type: userNameType, Default: `"root"`, Doc: "User name or number.", Example: `"root"`},
				{Name: "group", Type: userNameType, Default: `"root"`, Doc: "Group name or number.", Example: `"adm"`},
				{Name: "mode", Type: modeType, Doc: "Permission bits in octal.", Example: `"0440"`},
			},
			checkLabel: globLabel,
		}},
		checkLabel: overlayLabel,
	}
}
