package cli

import (
	"encoding/json"
	"io"
)

// writeJSON writes v indented, without escaping what HTML would want escaped.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
