package report

import (
	"fmt"
	"io"

	"cloudy/builder/tree"
)

// Root is a root filesystem to report on: its entries, and where their
// content is.
type Root struct {
	*tree.Tree

	// Content opens a file of the tree; nil means Entry.Open. Filesystems in
	// images give their content here, since it is in no file of the host.
	Content func(e *tree.Entry) (io.ReadCloser, error)
}

// RootOf is the root of a tree whose entries carry their content.
func RootOf(t *tree.Tree) *Root { return &Root{Tree: t} }

func (r *Root) open(e *tree.Entry) (io.ReadCloser, error) {
	if r.Content != nil && e.Type == tree.File {
		return r.Content(e)
	}
	return e.Open()
}

// read returns the whole content of a file.
func (r *Root) read(e *tree.Entry) ([]byte, error) {
	f, err := r.open(e)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", e.Path, err)
	}
	return b, nil
}

// file is the file that a hard link names, else e itself.
func (r *Root) file(e *tree.Entry) *tree.Entry {
	if e.Type == tree.Hardlink {
		if f := r.Find(e.Link); f != nil {
			return f
		}
	}
	return e
}
