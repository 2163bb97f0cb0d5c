// Package recipes holds the recipes that are built into the program.
package recipes

import "embed"

// FS has the recipes at its top, those of boards in boards/, and lab files in
// labs/.
//
//go:embed *.hcl boards/*.hcl labs/*.hcl
var FS embed.FS
