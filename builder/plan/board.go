package plan

import (
	"cloudy/builder/recipe"
	"cloudy/targets/sdcard"
)

// cardOptions translates the recipe's board.
func cardOptions(img *recipe.Image, t recipe.Target) any {
	o := sdcard.Options{
		Formats: t.Strings("formats"), DiskSize: t.Bytes("disk_size"), Grow: img.Grow.Enabled, GrowLimit: img.Grow.Limit,
	}
	b := img.Board
	if b == nil {
		return o
	}
	o.Board = sdcard.Board{
		Name: b.Name, Scheme: b.Scheme, Start: b.Start, Arguments: b.Arguments, Consoles: b.Consoles,
		Extlinux: b.Extlinux, DeviceTree: b.DeviceTree,
		FATSize: b.Firmware.Size, FATLabel: b.Firmware.Label, FATMount: b.Firmware.Mount,
	}
	for _, c := range b.Firmware.Copies {
		o.Board.Copies = append(o.Board.Copies, sdcard.Copy(c))
	}
	files := func(list []recipe.BoardFile) (out []sdcard.File) {
		for _, f := range list {
			out = append(out, sdcard.File(f))
		}
		return out
	}
	o.Board.FATFiles, o.Board.Files = files(b.Firmware.Files), files(b.Files)
	for _, x := range b.Blobs {
		o.Board.Blobs = append(o.Board.Blobs, sdcard.Blob(x))
	}
	return o
}
