package recipe

import (
	"io"
	"strings"
	"time"
)

// Text is text of a recipe with the place where it stands.
type Text struct {
	Value string
	Range Range
}

// String returns the text.
func (t Text) String() string { return t.Value }

// MarshalText returns the text alone, without its place.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.Value), nil }

// Blob is content that an image takes from the recipe or its folder.
type Blob struct {
	SHA256 string `json:",omitempty"` // hexadecimal
	Size   int64  `json:",omitempty"` // bytes

	open func() (io.ReadCloser, error)
}

// Open returns the content. Content of a file that changed since the recipe
// was loaded makes the reader fail at its end.
func (b Blob) Open() (io.ReadCloser, error) {
	if b.open == nil {
		return io.NopCloser(strings.NewReader("")), nil
	}
	return b.open()
}

// Image is one image evaluated for one architecture, with all that it
// inherits. Encoded as JSON it has no places, so that the encoding changes
// only when the image does; it holds secrets in the clear (Show masks them).
type Image struct {
	Name        string
	Arch        string
	Description string   `json:",omitempty"`
	From        []string `json:",omitempty"` // ancestors, nearest first
	Variant     string   // "minbase" or "essential"
	Archives    []Archive
	Packages    []Package // of the image and its services, in order, each name and architecture once
	// Unwanted packages were dropped with "-name": a Recommends of them is
	// not followed; a Depends still brings them in.
	Unwanted    []Package `json:",omitempty"`
	Recommends  bool
	Overlays    []Overlay   `json:",omitempty"` // in the order they are laid
	Files       []File      `json:",omitempty"`
	Directories []Directory `json:",omitempty"`
	Groups      []Group     `json:",omitempty"`
	Users       []User      `json:",omitempty"`
	Debconf     []Debconf   `json:",omitempty"`
	Runs        []Run       `json:",omitempty"`
	Units       Units
	Hostname    string `json:",omitempty"` // empty: leave it as the packages have it; so also the next two
	Locale      string `json:",omitempty"`
	Timezone    string `json:",omitempty"`
	Kernel      Kernel
	Initramfs   Initramfs
	Grow        Grow
	Exclude     []PathRule `json:",omitempty"` // the last match counts
	Mesh        *Mesh      `json:",omitempty"`
	Page        *Page      `json:",omitempty"`
	Services    []Service  `json:",omitempty"`
	Targets     []Target   `json:",omitempty"` // those that Arch can have
	Board       *Board     `json:",omitempty"` // of the target "sdcard"
	Release     string     `json:",omitempty"`
	Epoch       *int64     `json:",omitempty"` // source_date_epoch: seconds since 1970 UTC

	// Range is the image's header.
	Range Range `json:"-"`

	module *Module
	node   *node
}

// Where returns the place of one of the image's attributes, by its name in
// the recipe ("hostname"), or of the image's header when it is not given.
func (i *Image) Where(attr string) Range {
	if i.node == nil {
		return i.Range
	}
	return i.node.where(attr)
}

// Archive is a Debian archive.
type Archive struct {
	Name string
	// Base is the archive at the root of the chain of "from": "debian" and
	// "debian-security" are found by mirror choice, others have a URL.
	Base          string
	URL           string `json:",omitempty"` // without a final slash
	Suites        []Text
	Components    []Text
	Keyring       *Keyring `json:",omitempty"`
	Fingerprints  []string `json:",omitempty"` // capitals
	Only          []Text   `json:",omitempty"` // package globs
	Pin           int      // priority, 500 when not given
	Architectures []string `json:",omitempty"`
	Range         Range    `json:"-"`
}

// Keyring is a file of OpenPGP public keys.
type Keyring struct {
	Name string // in the recipe folder
	Blob
}

// Overlay is a folder laid over the root.
type Overlay struct {
	Name    string
	Entries []OverlayEntry // sorted by path
	Range   Range          `json:"-"`
}

// OverlayEntry is a file, folder or symbolic link of an overlay.
type OverlayEntry struct {
	Path  string // relative, slash-separated
	Type  byte   // 'd', 'f' or 'l', as in tree.Type
	Mode  uint32
	Owner string // name or number
	Group string
	Link  string `json:",omitempty"` // target of a symbolic link
	Blob
	// Declared says that a rule of the recipe names the entry. A folder that
	// is not declared and exists in the root keeps the root's owner and mode.
	Declared bool
}

// File is a file, a symbolic link, or the absence of one.
type File struct {
	Path   string // absolute
	Mode   uint32
	Owner  string
	Group  string
	Link   string `json:",omitempty"`
	Absent bool   `json:",omitempty"`
	Blob
	Range Range `json:"-"`
}

// Directory is a folder that must exist.
type Directory struct {
	Path  string // absolute
	Mode  uint32
	Owner string
	Group string
	Range Range `json:"-"`
}

// User is an account.
type User struct {
	Name              string
	UID               *int64   `json:",omitempty"`
	Group             string   `json:",omitempty"` // primary; empty for a group of the user's name
	Groups            []Text   `json:",omitempty"`
	Comment           string   `json:",omitempty"`
	Shell             string   // empty for an account that exists already and keeps its own
	Home              string   // likewise
	PasswordHash      string   `json:",omitempty"`
	NoPassword        bool     `json:",omitempty"`
	Lock              bool     `json:",omitempty"`
	SSHAuthorizedKeys []string `json:",omitempty"`
	System            bool     `json:",omitempty"`
	Range             Range    `json:"-"`
}

// Group is a group of users.
type Group struct {
	Name   string
	GID    *int64 `json:",omitempty"`
	System bool   `json:",omitempty"`
	Range  Range  `json:"-"`
}

// Debconf is the answer to a question.
type Debconf struct {
	Package  string
	Question string // "package/question"
	Type     string
	Value    string
	Range    Range `json:"-"`
}

// Run is a command inside the image.
type Run struct {
	Name    string
	Command []string          `json:",omitempty"`
	Script  string            `json:",omitempty"`
	Env     map[string]string `json:",omitempty"`
	Network bool              `json:",omitempty"`
	Timeout time.Duration
	Inputs  []string `json:",omitempty"` // absolute globs in the image; empty for all of it
	Range   Range    `json:"-"`
}

// Units says which systemd units start. A unit is in one list at most.
type Units struct {
	Enable  []Text `json:",omitempty"`
	Disable []Text `json:",omitempty"`
	Mask    []Text `json:",omitempty"`
}

// Kernel is what the kernel is told.
type Kernel struct {
	Arguments []Text `json:",omitempty"`
}

// Initramfs configures initramfs-tools.
type Initramfs struct {
	Modules  string   // "most" or "list"
	Include  []string `json:",omitempty"`
	Compress string
}

// PathRule excludes paths from unpacking, or includes them again.
type PathRule struct {
	Pattern string // absolute; "*" also matches "/", as in dpkg's path-exclude
	Include bool   `json:",omitempty"`
	Range   Range  `json:"-"`
}

// Mesh is the mesh a node joins or founds. What is empty or 0 has the
// agent's default.
type Mesh struct {
	Network    string   `json:",omitempty"`
	Invitation string   `json:",omitempty"`
	Peers      []string `json:",omitempty"`
	Create     bool     `json:",omitempty"`
	Mode       string   `json:",omitempty"`
	Prefix     string   `json:",omitempty"` // IPv4
	Interface  string   `json:",omitempty"`
	Port       int      `json:",omitempty"` // tinc's
	JoinPort   int      `json:",omitempty"`
	GossipPort int      `json:",omitempty"`
	TCPOnly    bool     `json:",omitempty"`
	Advertise  []string `json:",omitempty"`
	MDNS       string   `json:",omitempty"`
	MDNSLimit  int      `json:",omitempty"`
	MDNSTypes  []string `json:",omitempty"`
	Range      Range    `json:"-"`
}

// Page is the node's page. A port of 0 is the agent's default.
type Page struct {
	Off      bool `json:",omitempty"`
	Demo     bool `json:",omitempty"` // guest's password is "guest"
	HTTPPort int  `json:",omitempty"`
	TLSPort  int  `json:",omitempty"`
}

// Service is a service that the node can offer.
type Service struct {
	Name        string
	Description string    `json:",omitempty"`
	Packages    []Package `json:",omitempty"`
	Units       []Text    `json:",omitempty"`
	Enabled     bool      `json:",omitempty"`
	Roles       []Role    `json:",omitempty"`
	Announce    *Announce `json:",omitempty"`
	Health      *Health   `json:",omitempty"`
	Range       Range     `json:"-"`
}

// Role is a part that a node plays in a service.
type Role struct {
	Name        string
	Description string    `json:",omitempty"`
	Packages    []Package `json:",omitempty"`
	Units       []Text    `json:",omitempty"`
	Default     bool      `json:",omitempty"`
	Announce    *Announce `json:",omitempty"`
	Health      *Health   `json:",omitempty"`
	Range       Range     `json:"-"`
}

// Announce is a DNS-SD announcement.
type Announce struct {
	Type string // "_http._tcp"
	Port int
	TXT  map[string]string `json:",omitempty"`
}

// Health is how a service is checked. One of HTTP, TCP, Unit and Command is set.
type Health struct {
	HTTP     string   `json:",omitempty"`
	TCP      int      `json:",omitempty"`
	Unit     string   `json:",omitempty"`
	Command  []string `json:",omitempty"`
	Interval time.Duration
	Timeout  time.Duration
}
