package resolve

import (
	"maps"
	"slices"
	"sync"

	"cloudy/builder/deb"
)

// Universe holds all packages that may be chosen. Fill it with Add, in the
// order in which apt would read the indexes (it decides ties between otherwise
// equal packages), then pass it to Resolve. It must not be changed any more
// while a Resolve runs.
type Universe struct {
	native   string
	archRank map[string]int // native first; lower is preferred
	groups   map[string]*group
	versions []*version // in order of Add
	pkgs     []*pkg     // in order of creation

	versionSlab []version
	pkgSlab     []pkg
	groupSlab   []group

	mentions sync.Once
	rank     []int32 // of pkgs, by pkg.idx: see mention.go
}

// group is all that goes by one name: the packages of that name, one an
// architecture, and the versions that provide it.
type group struct {
	name  string
	pkgs  []*pkg
	provs []provide
	one   [1]*pkg // backs pkgs of one element, which nearly all are
}

// pkg is a package name in one architecture ("all" counts as native).
type pkg struct {
	group     *group
	arch      string
	idx       int32
	essential bool
	important bool
	versions  []*version // newest first; of equal ones the first added first
	one       [1]*version
}

// version is one version of a pkg.
type version struct {
	pkg     *pkg
	p       *deb.Package
	idx     int32
	pin     int32
	prio    uint8
	same    bool // Multi-Arch: same
	foreign bool // Multi-Arch: foreign
	allowed bool // Multi-Arch: allowed
}

// provide is one entry of a version's Provides field.
type provide struct {
	owner     *version
	version   string // empty when the provide has none
	qualifier string // architecture after a colon, rare
}

// Priorities in apt's order. A package without the field is zero, one with an
// unknown word counts as extra.
var priorities = map[string]uint8{"": 0, "required": 1, "important": 2, "standard": 3, "optional": 4, "extra": 5}

// NewUniverse makes an empty universe for a system of the native architecture
// that accepts packages of the foreign ones too, the preferred ones first.
func NewUniverse(native string, foreign ...string) *Universe {
	u := &Universe{native: native, archRank: map[string]int{native: 0}, groups: map[string]*group{}}
	for _, a := range foreign {
		if _, ok := u.archRank[a]; !ok {
			u.archRank[a] = len(u.archRank)
		}
	}
	return u
}

// Native returns the native architecture.
func (u *Universe) Native() string { return u.native }

// Len returns the number of package versions.
func (u *Universe) Len() int { return len(u.versions) }

// Add puts a package in, with the pin priority that apt's policy would give it
// (apt_preferences(5)): 500 for a usual archive, 100 for backports, 1 for
// "NotAutomatic" suites; zero and below keep it from ever being chosen unless
// a Want names its version or suite. Packages of an architecture that the
// universe does not have, or with a Provides field that cannot be read, are
// left out; Add says whether the package was taken. A package that is there
// already, from another suite, gets the higher of both pins.
func (u *Universe) Add(p *deb.Package, pin int) bool {
	arch := p.Architecture
	if arch == "all" {
		arch = u.native
	}
	if _, ok := u.archRank[arch]; !ok {
		return false
	}
	var provides deb.Relations
	if p.Provides != "" {
		var err error
		if provides, err = deb.ParseRelations(p.Provides); err != nil {
			return false
		}
	}
	g := u.group(p.Name)
	k := g.pkg(arch)
	if k == nil {
		k = alloc(&u.pkgSlab)
		*k = pkg{group: g, arch: arch, idx: int32(len(u.pkgs))}
		u.pkgs = append(u.pkgs, k)
		if g.pkgs == nil {
			g.pkgs = g.one[:0]
		}
		g.pkgs = append(g.pkgs, k)
	}
	at := 0
	for ; at < len(k.versions); at++ {
		old := k.versions[at]
		c := deb.CompareVersions(p.Version, old.p.Version)
		if c > 0 {
			break
		}
		if c == 0 && sameContent(p, old.p) {
			old.pin = max(old.pin, int32(pin))
			return true
		}
	}
	if len(u.versions) == largeUniverse {
		u.expectMany()
	}
	v := alloc(&u.versionSlab)
	prio, ok := priorities[p.Priority]
	if !ok {
		prio = priorities["extra"]
	}
	*v = version{pkg: k, p: p, idx: int32(len(u.versions)), pin: int32(pin), prio: prio}
	v.same = p.MultiArch == "same" && p.Architecture != "all"
	v.foreign = p.MultiArch == "foreign"
	v.allowed = p.MultiArch == "allowed"
	u.versions = append(u.versions, v)
	if k.versions == nil {
		k.one[0] = v
		k.versions = k.one[:]
	} else {
		k.versions = slices.Insert(k.versions, at, v)
	}
	// apt counts itself as essential.
	k.essential = k.essential || p.Essential || p.Name == "apt"
	k.important = k.important || p.Protected || p.Name == "apt"
	for _, alts := range provides {
		for _, r := range alts {
			if r.Op != "" && r.Op != "=" {
				continue // Policy 7.5 knows exact provides only
			}
			pg := u.group(r.Name)
			pg.provs = append(pg.provs, provide{owner: v, version: r.Version, qualifier: r.Qualifier})
		}
	}
	return true
}

// largeUniverse is the number of packages from which on a universe is taken
// for an archive's, which has tens of thousands (trixie: 69,000, and as many
// provided names), so that tables need not grow step by step.
const largeUniverse = 2048

func (u *Universe) expectMany() {
	groups := make(map[string]*group, 1<<17)
	maps.Copy(groups, u.groups)
	u.groups = groups
	u.versions = slices.Grow(u.versions, 1<<16)
	u.pkgs = slices.Grow(u.pkgs, 1<<16)
}

// sameContent says whether two stanzas of one version are one package. apt
// compares a hash over the stanza's relations and sizes.
func sameContent(a, b *deb.Package) bool {
	if a.SHA256 != "" && b.SHA256 != "" {
		return a.SHA256 == b.SHA256
	}
	return a.Version == b.Version && a.Size == b.Size && a.Depends == b.Depends && a.Architecture == b.Architecture
}

// group returns the group of a name, and makes it when there is none.
func (u *Universe) group(name string) *group {
	g := u.groups[name]
	if g == nil {
		g = alloc(&u.groupSlab)
		g.name = name
		u.groups[name] = g
	}
	return g
}

func (g *group) pkg(arch string) *pkg {
	for _, k := range g.pkgs {
		if k.arch == arch {
			return k
		}
	}
	return nil
}

// alloc takes one element of a slab: tens of thousands of small allocations
// are slower, and larger.
func alloc[T any](slab *[]T) *T {
	if len(*slab) == cap(*slab) {
		*slab = make([]T, 0, min(4096, max(32, 4*cap(*slab))))
	}
	*slab = (*slab)[:len(*slab)+1]
	return &(*slab)[len(*slab)-1]
}

// candidate is apt's choice among the versions of a package: the highest pin,
// then the newest version.
func (k *pkg) candidate() *version {
	var best *version
	for _, v := range k.versions {
		if v.pin > 0 && (best == nil || v.pin > best.pin) {
			best = v
		}
	}
	return best
}

// name names a package as apt does: the native architecture goes unsaid.
func (u *Universe) name(k *pkg) string {
	if k.arch == u.native {
		return k.group.name
	}
	return k.group.name + ":" + k.arch
}
