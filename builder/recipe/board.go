package recipe

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"cloudy/recipes"
)

// Board is a single-board computer for one architecture. Its texts may hold
// BootValue's words, which the target replaces.
type Board struct {
	Name        string
	Description string `json:"-"`
	Packages    []Package
	Scheme      string // "mbr" or "gpt"
	Start       int64  // bytes: where the first partition begins
	Arguments   []string
	Consoles    []string
	Extlinux    bool
	DeviceTree  string
	Firmware    BoardFirmware
	Blobs       []BoardBlob
	Files       []BoardFile // in the root
	Range       Range       `json:"-"`
}

// BoardFirmware is the FAT partition.
type BoardFirmware struct {
	Size   int64 // bytes
	Label  string
	Mount  string
	Copies []BoardCopy
	Files  []BoardFile
}

// BoardCopy is files of the root that go onto the FAT partition.
type BoardCopy struct {
	Name     string
	From     []string // absolute globs
	To       string   // folder on the partition
	Optional bool
}

// BoardBlob is a file of the root that is written at an offset of the card.
type BoardBlob struct {
	Name   string
	From   string // absolute
	Offset int64  // bytes
}

// BoardFile is a file with content of the board's.
type BoardFile struct {
	Path    string
	Content string
}

// BootValues are the names of boot.NAME.
func BootValues() []string {
	return []string{"arguments", "console", "consoles", "extra", "initrd", "kernel", "partuuid", "root", "version"}
}

// BootValue is what boot.NAME reads as in a recipe: a word in whose place the
// target puts what is known only when a root is there.
func BootValue(name string) string { return "@boot." + name + "@" }

func bootObject() cty.Value {
	out := map[string]cty.Value{}
	for _, name := range BootValues() {
		out[name] = cty.StringVal(BootValue(name))
	}
	return cty.ObjectVal(out)
}

// Boards returns the names of all boards, those of the program among them.
func (m *Module) Boards() []string { return slices.Clone(m.order["board"]) }

// boardFiles are the recipe's own files of boards.
func (s *Source) boardFiles() ([]string, error) {
	if s.only != "" {
		return nil, nil
	}
	entries, err := fs.ReadDir(s.fsys, boardFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		if !e.IsDir() && strings.HasSuffix(e.Name(), ".hcl") && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, path.Join(boardFolder, e.Name()))
		}
	}
	return out, err
}

const boardFolder = "boards"

// builtinBoards parses the boards of the program that the recipe has not.
// They are no inputs of the module: what an image takes from them is in the
// image's own digest.
func (m *Module) builtinBoards(c *checker) []*hclsyntax.Body {
	entries, err := fs.ReadDir(recipes.FS, boardFolder)
	if err != nil {
		return nil
	}
	var bodies []*hclsyntax.Body
	for _, e := range entries {
		name := path.Join(boardFolder, e.Name())
		src, err := fs.ReadFile(recipes.FS, name)
		if err != nil {
			continue
		}
		shown := path.Join("embedded", name)
		f, diags := hclsyntax.ParseConfig(src, shown, hcl.InitialPos)
		c.diags = append(c.diags, diags...)
		body, ok := f.Body.(*hclsyntax.Body)
		if !ok || diags.HasErrors() {
			continue
		}
		kept := &hclsyntax.Body{Attributes: body.Attributes, SrcRange: body.SrcRange, EndRange: body.EndRange}
		for _, b := range body.Blocks {
			if len(b.Labels) == 0 || m.blocks[b.Type] == nil || m.blocks[b.Type][b.Labels[0]] != nil {
				continue
			}
			kept.Blocks = append(kept.Blocks, b)
			m.blocks[b.Type][b.Labels[0]] = b
			m.order[b.Type] = append(m.order[b.Type], b.Labels[0])
			c.declared[b.Type] = append(c.declared[b.Type], b.Labels[0])
		}
		m.sources[shown] = src
		bodies = append(bodies, kept)
	}
	return bodies
}

// boardOf is the board of an image's sdcard target, or nil.
func (b *builder) boardOf(n *node) *Board {
	t := n.child("target", "sdcard")
	if t == nil {
		return nil
	}
	it, ok := t.first("board")
	if !ok {
		return nil // complete says so
	}
	archs := n.strings("architectures")
	if len(archs) == 0 {
		archs = []string{"amd64", "arm64"}
	}
	archs = targetArchitectures(t, archs)
	name := it.goval.(string)
	if !slices.Contains(archs, b.arch) || !b.known("board", name, it.at) {
		return nil
	}
	board, can := b.board(name)
	if slices.Contains(can, b.arch) {
		return board
	}
	if !slices.ContainsFunc(archs, func(a string) bool { return slices.Contains(can, a) }) {
		b.errorf(it.at, "It is for "+strings.Join(can, ", ")+"; the image is for "+strings.Join(archs, ", ")+".", "The board %q does not run any architecture of the image", name)
	}
	return nil
}

func (b *builder) board(name string) (*Board, []string) {
	r := b.resolve("board", name, nil)
	b.diags = append(b.diags, r.diags...)
	n := r.node
	b.complete(n)
	out := &Board{
		Name: name, Description: get(n, "description", ""), Packages: packageList(n), Range: n.at,
		Scheme: get(n, "scheme", "mbr"), Start: get(n, "start", int64(4<<20)), Arguments: n.strings("arguments"),
		Consoles: n.strings("consoles"), Extlinux: get(n, "extlinux", false), DeviceTree: get(n, "devicetree", ""),
		Firmware: BoardFirmware{Size: 64 << 20, Label: "CLOUDYBOOT", Mount: "/boot/firmware"},
	}
	if len(out.Consoles) == 0 {
		out.Consoles = []string{"tty0"}
	}
	if f := n.child("firmware", ""); f != nil {
		out.Firmware.Size = get(f, "size", out.Firmware.Size)
		out.Firmware.Label = get(f, "label", out.Firmware.Label)
		out.Firmware.Mount = get(f, "mount", out.Firmware.Mount)
		if len(out.Firmware.Label) > 11 {
			b.errorf(f.where("label"), "", "The label %q has more than 11 characters", out.Firmware.Label)
		}
		if out.Firmware.Size < 1<<25 {
			b.errorf(f.where("size"), "", "The firmware partition needs 32 MiB at least")
		}
		for _, c := range f.children("copy") {
			for _, t := range c.texts("from") {
				if err := absoluteGlob(t.Value); err != nil {
					b.errorf(t.Range, "", "Wrong value for from: %v", err)
				}
			}
			if to := get(c, "to", ""); to != "" {
				if err := cardPath(to); err != nil {
					b.errorf(c.where("to"), "", "Wrong value for to: %v", err)
				}
			}
			out.Firmware.Copies = append(out.Firmware.Copies, BoardCopy{Name: c.label, From: c.strings("from"), To: strings.Trim(get(c, "to", ""), "/"), Optional: get(c, "optional", false)})
		}
		for _, c := range f.children("file") {
			out.Firmware.Files = append(out.Firmware.Files, BoardFile{strings.Trim(c.label, "/"), get(c, "content", "")})
		}
	}
	for _, c := range n.children("file") {
		out.Files = append(out.Files, BoardFile{c.label, get(c, "content", "")})
	}
	for _, c := range n.children("blob") {
		blob := BoardBlob{Name: c.label, From: get(c, "from", ""), Offset: get(c, "offset", int64(0))}
		if v := c.attrs["offset"]; v != nil && !v.bad {
			b.checkOffset(c, out, blob)
		}
		out.Blobs = append(out.Blobs, blob)
	}
	return out, n.strings("architectures")
}

// cardPath is a path on the FAT partition.
func cardPath(s string) error {
	if !validName(strings.Trim(s, "/")) || strings.Trim(s, "/") == "" {
		return fmt.Errorf("%q is not a path inside the partition", s)
	}
	return nil
}

// checkOffset sees to it that a blob does not begin in the partition table or
// a partition. Where it ends is known when the root is there.
func (b *builder) checkOffset(n *node, board *Board, blob BoardBlob) {
	at, low, what := n.where("offset"), int64(512), "an MBR"
	if board.Scheme == "gpt" {
		low, what = 34*512, "a GPT" // MBR, header and 128 entries (UEFI 5.3)
	}
	switch {
	case blob.Offset%512 != 0:
		b.errorf(at, "", "The offset of blob %q is not in whole sectors of 512 bytes", blob.Name)
	case blob.Offset < low:
		b.errorf(at, fmt.Sprintf("The table takes the first %d bytes.", low), "Blob %q lies in the partition table: the board has %s", blob.Name, what)
	case blob.Offset >= board.Start:
		b.errorf(at, "Move start behind it.", "Blob %q lies behind the beginning of the first partition", blob.Name)
	}
}

// BoardArchitectures returns the architectures that run on a board, nil for
// one that does not exist.
func (m *Module) BoardArchitectures(name string) []string {
	if m.blocks["board"][name] == nil {
		return nil
	}
	s := m.scope(architectures()[0])
	m.mu.Lock()
	defer m.mu.Unlock()
	return s.resolve("board", name, nil).node.strings("architectures")
}
