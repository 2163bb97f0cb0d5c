package rootfs

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"cloudy/builder/deb"
)

// readInstalled reads the packages that a root has, with their file lists.
func readInstalled(root rootDir, d *dirs) ([]*installed, error) {
	status, err := root.read(statusPath)
	if err != nil {
		return nil, err
	}
	var out []*installed
	for rd := deb.NewParagraphReader(bytes.NewReader(status)); ; {
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
		// What is known by its selection alone has no list.
		list, err := root.read(infoPath + "/" + in.infoName() + ".list")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(list)) {
			path := strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "/")
			st, ok, err := d.lstat(path)
			if err != nil {
				return nil, err
			}
			if ok && st.Mode&unix.S_IFMT != unix.S_IFDIR {
				in.list = append(in.list, path)
			}
		}
		out = append(out, in)
	}
}
