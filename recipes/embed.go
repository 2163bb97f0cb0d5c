// Package recipes holds the recipes that are built into the program.
package recipes

import "embed"

// FS has the recipes at its top, and those of boards in boards/.
//
//go:embed *.hcl boards/*.hcl
var FS embed.FS
