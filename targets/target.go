// Package targets is what every kind of artefact has in common: a target
// takes a finished root filesystem and a request, and gives files.
package targets

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/google/uuid"

	"cloudy/builder/tree"
)

// Request is one image to be made into artefacts.
type Request struct {
	Image string     // the image's name in the recipe
	Arch  string     // Debian's name of the architecture
	Root  *tree.Tree // the finished root; a target changes a copy of it only

	Epoch time.Time // no time in an artefact is later, and all times of its making are this
	Seed  [32]byte  // the build's identity, from which all random-looking ids derive

	OutDir   string // where artefacts go; it exists
	BaseName string // of the artefacts, without a suffix: "node-amd64"

	KernelArgs []string // appended to the kernel's command line
	Options    any      // the target's own options
}

// ID derives an id from the seed: the same build gives the same id for the
// same name, another build another one. It is a version 8 UUID (RFC 9562).
func (r *Request) ID(name string) uuid.UUID {
	h := sha256.New()
	h.Write(r.Seed[:])
	h.Write([]byte(name))
	id := uuid.UUID(h.Sum(nil)[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// Artefact is one file that a target made.
type Artefact struct {
	Path      string `json:"path"`
	Format    string `json:"format"` // "raw", "qcow2"
	MediaType string `json:"mediaType"`
	Size      int64  `json:"size"` // bytes, holes counted
	SHA256    string `json:"sha256"`
	Usage     string `json:"usage"` // one line that says how to use it
}

// Target makes one kind of artefact. Methods are safe for concurrent use.
type Target interface {
	// Name is the target's name in a recipe.
	Name() string

	// Validate says whether the target can be made for an architecture with
	// the options, without looking at a root. Its errors are the user's.
	Validate(arch string, options any) error

	// Build makes the artefacts. They appear under their names when they are
	// complete; after an error none of them does.
	Build(ctx context.Context, r Request) ([]Artefact, error)
}
