package page

import (
	"bytes"
	"compress/gzip"
	command "flag"
	"io"
	"net/http"
	"os"
	"testing"
)

var update = command.Bool("update", false, "write what is made from something else: the packed style sheet, the pictures of the documentation")

const styleSource = "static/style.css"

// TestStyleIsPacked: what is embedded is the style sheet as it stands.
func TestStyleIsPacked(t *testing.T) {
	source, err := os.ReadFile(styleSource)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		z.Write(source)
		z.Close()
		if err := os.WriteFile(styleSource+".gz", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		styleSheet.content = b.Bytes()
	}
	s := serve(t, newcomer(), nil)
	for _, accept := range []string{"gzip, br", ""} {
		r, _ := http.NewRequest("GET", s.url+"/style.css", nil)
		r.Header.Set("Accept-Encoding", accept)
		resp, err := (&http.Client{Transport: &http.Transport{DisableCompression: true}}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var body io.Reader = resp.Body
		if resp.Header.Get("Content-Encoding") == "gzip" {
			if accept == "" {
				t.Error("packed for who does not unpack")
			}
			if body, err = gzip.NewReader(body); err != nil {
				t.Fatal(err)
			}
		}
		got, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		if !*update && !bytes.Equal(got, source) {
			t.Errorf("the packed style sheet is not %s; go test ./firstboot/page -run TestStyleIsPacked -update", styleSource)
		}
	}
}
