package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
)

// The style sheet is packed, for it is the largest of them;
// TestStyleIsPacked -update packs it.
//
//go:embed static/style.css.gz
var styleFile []byte

//go:embed static/live.js
var liveFile []byte

//go:embed static/icon.svg
var iconFile []byte

// file is one of the few files that pages refer to.
type file struct {
	path, kind string
	content    []byte
	sum        string
	packed     bool // with gzip
}

func newFile(path, kind string, content []byte) file {
	sum := sha256.Sum256(content)
	return file{path: path, kind: kind, content: content, sum: base64.RawURLEncoding.EncodeToString(sum[:6]), packed: bytes.HasPrefix(content, []byte{0x1f, 0x8b})}
}

var (
	styleSheet = newFile("/style.css", "text/css; charset=utf-8", styleFile)
	liveScript = newFile("/live.js", "text/javascript; charset=utf-8", liveFile)
	icon       = newFile("/icon.svg", "image/svg+xml", iconFile)
	static     = []file{styleSheet, liveScript, icon}
)

// url names the file with its content: it is kept for ever, and a newer one
// has another name.
func (f file) url() string { return f.path + "?v=" + f.sum }

func (f file) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", f.kind)
	if r.URL.Query().Get("v") == f.sum {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		w.Header().Set("Cache-Control", "no-cache")
	}
	if !f.packed {
		w.Write(f.content)
		return
	}
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(f.content)
		return
	}
	if z, err := gzip.NewReader(bytes.NewReader(f.content)); err == nil {
		io.Copy(w, z)
	}
}
