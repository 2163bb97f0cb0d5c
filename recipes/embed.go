// Package recipes holds the recipes that are built into the program.
package recipes

import "embed"

// FS has the recipes at its top.
//
//go:embed *.hcl
var FS embed.FS
