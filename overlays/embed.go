// Package overlays holds the overlays of the built-in recipes, a folder each.
package overlays

import "embed"

// FS has the folders of all overlays at its top.
//
//go:embed all:common all:bench
var FS embed.FS
