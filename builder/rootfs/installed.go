package rootfs

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"cloudy/builder/deb"
)

// readInstalled reads the packages that a root has, with their file lists.
func readInstalled(root string) ([]*installed, error) {
	f, err := os.Open(filepath.Join(root, statusPath))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []*installed
	for rd := deb.NewParagraphReader(f); ; {
		p, err := rd.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		in := &installed{
			name: p.Get("Package"), arch: p.Get("Architecture"), version: p.Get("Version"),
			same: p.Get("Multi-Arch") == "same", para: p, repl: parseReplaces(p), lost: map[string]bool{},
		}
		list, err := os.ReadFile(filepath.Join(root, infoPath, in.infoName()+".list"))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(list)) {
			path := strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "/")
			if st, err := os.Lstat(filepath.Join(root, path)); err == nil && !st.IsDir() {
				in.list = append(in.list, path)
			}
		}
		out = append(out, in)
	}
}
