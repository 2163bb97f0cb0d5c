// Package units holds the systemd units of a node, for the builder to put
// into an image at /usr/lib/systemd/system, enabled by the preset.
package units

import "embed"

// Files are the units and the preset, at the root of the file system.
//
//go:embed *.service *.preset
var Files embed.FS
