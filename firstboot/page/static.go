package page

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
)

//go:embed static/style.css
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
}

func newFile(path, kind string, content []byte) file {
	sum := sha256.Sum256(content)
	return file{path, kind, content, base64.RawURLEncoding.EncodeToString(sum[:6])}
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
	w.Write(f.content)
}
