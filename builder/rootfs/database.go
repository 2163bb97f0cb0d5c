package rootfs

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"cloudy/builder/deb"
)

// Paths of dpkg's database inside a root (dpkg(1), FILES).
const (
	adminDir      = "var/lib/dpkg"
	statusPath    = adminDir + "/status"
	infoPath      = adminDir + "/info"
	divertPath    = adminDir + "/diversions"
	overridePath  = adminDir + "/statoverride"
	triggersPath  = adminDir + "/triggers"
	fileTriggers  = triggersPath + "/File"
	extendedState = "var/lib/apt/extended_states"
)

// database is the part of dpkg's database that unpacking needs.
type database struct {
	root       rootDir
	native     string // architecture
	diversions []diversion
	overrides  map[string]statOverride
	interests  interests
	packages   []*installed
	shrunk     []*installed // those that lost paths to a package that replaces them
}

// diversion is one record of dpkg-divert(1).
type diversion struct{ from, to, by string }

type statOverride struct {
	uid, gid int
	mode     uint32
}

// installed is the record of one package in the database.
type installed struct {
	name, arch, version string
	same                bool
	para                *deb.Paragraph
	control             map[string]deb.ControlFile
	list                []string // paths in the order of data.tar
	lost                map[string]bool
	sums                []string // generated md5sums lines
	conffiles           []string // lines of the Conffiles field
	repl                deb.Relations
}

func newInstalled(p *staged) *installed {
	return &installed{
		name: p.name, arch: p.arch, version: p.para.Get("Version"), same: p.same,
		para: p.para, control: p.control, repl: parseReplaces(p.para), lost: map[string]bool{},
	}
}

// replaces tells whether in may take over files of other (Debian Policy 7.6.1).
func (in *installed) replaces(other *installed) bool {
	for _, alts := range in.repl {
		for _, r := range alts {
			if r.Name == other.name && r.SatisfiedBy(other.version) {
				return true
			}
		}
	}
	return false
}

func (in *installed) lose(path string) { in.lost[path] = true }

// infoName is the base of the package's files in the info folder.
func (in *installed) infoName() string {
	if in.same {
		return in.name + ":" + in.arch
	}
	return in.name
}

// setConffiles fills the Conffiles field, and md5sums where the package has none.
func (in *installed) setConffiles(p *staged, conffiles map[string]*conffile, mode conffileMode) {
	sums := map[string]string{}
	for _, e := range linksLast(p.entries) {
		if e.typ == tar.TypeLink {
			e.md5 = sums[e.link]
		}
		if e.md5 != "" {
			sums[e.path] = e.md5
			in.sums = append(in.sums, e.md5+"  "+e.path+"\n")
		}
	}
	// The order of the conffiles member is the order of the field.
	for line := range strings.Lines(string(p.control["conffiles"].Data)) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "/")
		if gone, remove := strings.CutPrefix(strings.TrimSpace(line), "remove-on-upgrade /"); remove {
			in.conffiles = append(in.conffiles, "/"+strings.TrimSpace(gone)+" newconffile remove-on-upgrade")
			continue
		}
		if !ok || conffiles[path] == nil {
			continue
		}
		state := "newconffile"
		if mode == asFinal && sums[path] != "" {
			state = sums[path]
		}
		in.conffiles = append(in.conffiles, "/"+path+" "+state)
	}
}

// writeInfo writes the package's files in the info folder.
func (in *installed) writeInfo(root rootDir) error {
	base := infoPath + "/" + in.infoName() + "."
	var b bytes.Buffer
	for _, p := range in.list {
		if in.lost[p] {
			continue
		}
		if p == "." {
			b.WriteString("/.\n")
			continue
		}
		b.WriteString("/" + p + "\n")
	}
	if err := root.write(base+"list", b.Bytes(), 0o644); err != nil {
		return err
	}
	if _, ok := in.control["md5sums"]; !ok {
		if err := root.write(base+"md5sums", []byte(strings.Join(in.sums, "")), 0o644); err != nil {
			return err
		}
	}
	for name, f := range in.control {
		if name == "control" || name == "list" { // the one is in the status file, the other is ours alone
			continue
		}
		mode := os.FileMode(0o644)
		if f.Mode&0o111 != 0 {
			mode = 0o755
		}
		if err := root.write(base+name, f.Data, mode); err != nil {
			return err
		}
	}
	return nil
}

// stanza is the package's paragraph in the status file while it is unpacked:
// its control file to the letter after name and state, which come first.
func (in *installed) stanza() string {
	var b strings.Builder
	b.WriteString("Package: " + in.name + "\nStatus: install ok unpacked\n")
	skip := false
	for line := range strings.Lines(strings.Trim(string(in.control["control"].Data), "\n") + "\n") {
		if line[0] != ' ' && line[0] != '\t' {
			skip = len(line) >= 8 && strings.EqualFold(line[:8], "package:")
		}
		if !skip {
			b.WriteString(line)
		}
	}
	if len(in.conffiles) > 0 {
		b.WriteString("Conffiles:\n " + strings.Join(in.conffiles, "\n ") + "\n")
	}
	return b.String()
}

// openDatabase reads the database of root, making an empty one where there is
// none. The caller closes it.
func openDatabase(root, native string) (*database, error) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	db := &database{root: rootDir{dir}, native: native}
	if err := db.init(); err != nil {
		dir.Close()
		return nil, err
	}
	return db, nil
}

func (db *database) close() error { return db.root.Close() }

func (db *database) init() error {
	for _, d := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/lib/dpkg/alternatives", "var/lib/dpkg/parts"} {
		if err := db.root.mkdirAll(d); err != nil {
			return err
		}
	}
	for path, content := range map[string]string{
		statusPath: "", infoPath + "/format": "1\n", adminDir + "/arch": db.native + "\n", adminDir + "/arch-native": db.native + "\n",
	} {
		if _, err := db.root.Lstat(path); err == nil {
			continue
		}
		if err := db.root.write(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return db.reload()
}

// addArchitectures notes the foreign architectures of packages as `dpkg
// --add-architecture` does; dpkg and apt refuse packages of any other.
func (db *database) addArchitectures(jobs []*job) error {
	path := adminDir + "/arch"
	old, err := db.root.read(path)
	if err != nil {
		return hostErr(err)
	}
	known := strings.Fields(string(old))
	n := len(known)
	for _, j := range jobs {
		if a := j.Architecture; a != "" && a != "all" && !slices.Contains(known, a) {
			known = append(known, a)
		}
	}
	if len(known) == n {
		return nil
	}
	slices.Sort(known[n:]) // not in the order of packages
	return db.root.write(path, []byte(strings.Join(known, "\n")+"\n"), 0o644)
}

// reload reads again what maintainer scripts may have changed.
func (db *database) reload() error {
	var err error
	if db.diversions, err = readDiversions(db.root); err != nil {
		return err
	}
	db.overrides, err = readOverrides(db.root)
	return err
}

func readDiversions(root rootDir) ([]diversion, error) {
	data, err := root.read(divertPath)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	var out []diversion
	for chunk := range slices.Chunk(lines, 3) {
		if len(chunk) == 3 {
			out = append(out, diversion{strings.TrimPrefix(chunk[0], "/"), strings.TrimPrefix(chunk[1], "/"), chunk[2]})
		}
	}
	return out, nil
}

// divert returns where a path of the package really goes.
func (db *database) divert(pkg, path string) string {
	for _, d := range db.diversions {
		if d.from == path && d.by != pkg {
			return d.to
		}
	}
	return path
}

// divertedBy returns the package that diverts path, or "".
func (db *database) divertedBy(path string) string {
	for _, d := range db.diversions {
		if d.from == path {
			return d.by
		}
	}
	return ""
}

// readOverrides reads the statoverride table; names are resolved with the
// root's own passwd and group files.
func readOverrides(root rootDir) (map[string]statOverride, error) {
	data, err := root.read(overridePath)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	users, err := readIDs(root, "etc/passwd")
	if err != nil {
		return nil, err
	}
	groups, err := readIDs(root, "etc/group")
	if err != nil {
		return nil, err
	}
	out := map[string]statOverride{}
	for line := range strings.Lines(string(data)) {
		// A path may have spaces in it.
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(f) != 4 {
			return nil, fmt.Errorf("/%s: cannot read line %q", overridePath, strings.TrimSpace(line))
		}
		uid, okU := lookupID(users, f[0])
		gid, okG := lookupID(groups, f[1])
		mode, err := strconv.ParseUint(f[2], 8, 32)
		if !okU || !okG || err != nil {
			return nil, fmt.Errorf("/%s: cannot resolve line %q", overridePath, strings.TrimSpace(line))
		}
		out[strings.TrimPrefix(f[3], "/")] = statOverride{uid, gid, uint32(mode)}
	}
	return out, nil
}

// readIDs returns name -> id of a passwd(5) or group(5) file; a missing file is empty.
func readIDs(root rootDir, path string) (map[string]int, error) {
	data, err := root.read(path)
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for line := range strings.Lines(string(data)) {
		part := strings.Split(line, ":")
		if len(part) < 3 {
			continue
		}
		if id, err := strconv.Atoi(part[2]); err == nil {
			out[part[0]] = id
		}
	}
	return out, nil
}

// lookupID takes a name or, as dpkg-statoverride writes it, "#" and a number.
func lookupID(ids map[string]int, name string) (int, bool) {
	if num, ok := strings.CutPrefix(name, "#"); ok {
		id, err := strconv.Atoi(num)
		return id, err == nil
	}
	id, ok := ids[name]
	return id, ok
}

// appendStatus adds the stanzas of freshly placed packages to the status file.
func (db *database) appendStatus(ins []*installed) error {
	old, err := db.root.read(statusPath)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.Write(markPending(old, db.takePending()))
	for _, in := range ins {
		b.WriteString(in.stanza())
		b.WriteByte('\n')
	}
	return db.root.replace(statusPath, b.Bytes(), 0o644)
}

// dropLost takes paths that went to other packages out of the lists of their
// former owners.
func (db *database) dropLost() error {
	for _, in := range db.shrunk {
		name := infoPath + "/" + in.infoName() + ".list"
		old, err := db.root.ReadFile(name)
		if err != nil {
			return err
		}
		var b strings.Builder
		for line := range strings.Lines(string(old)) {
			if !in.lost[strings.Trim(line, "/\n")] {
				b.WriteString(line)
			}
		}
		if err := db.root.replace(name, []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	db.shrunk = nil
	return nil
}
