package recipe

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write golden files and the reference anew")

// archiveFS makes a file system of a txtar archive, without the file "want".
func archiveFS(a *txtar.Archive) fstest.MapFS {
	fsys := fstest.MapFS{}
	for _, f := range a.Files {
		if f.Name != "want" {
			fsys[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
		}
	}
	return fsys
}

// options reads "-var k=v" and "CLOUDY_VAR_k=v" lines of the comment.
func options(comment string) Options {
	var o Options
	for line := range strings.Lines(comment) {
		line = strings.TrimSuffix(line, "\n")
		if v, ok := strings.CutPrefix(line, "-var "); ok {
			o.Vars = append(o.Vars, VarInput{Assign: v})
		}
		if strings.HasPrefix(line, "CLOUDY_VAR_") {
			o.Env = append(o.Env, line)
		}
	}
	return o
}

// TestDiagnostics compares what is said about each bad recipe with the
// golden text at the end of its archive.
func TestDiagnostics(t *testing.T) {
	files, err := filepath.Glob("testdata/diagnostics/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			m, diags := Load(t.Context(), NewSource(archiveFS(a), ""), options(string(a.Comment)))
			var got strings.Builder
			m.Render(&got, diags, false)
			for i := range a.Files {
				if a.Files[i].Name != "want" {
					continue
				}
				if want := string(a.Files[i].Data); got.String() != want {
					if !*update {
						t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
					}
					a.Files[i].Data = []byte(got.String())
				}
				if *update {
					if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				return
			}
			t.Fatal("the archive has no file \"want\"")
		})
	}
}
