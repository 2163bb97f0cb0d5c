package report

import (
	"html/template"
	"io"
	"strings"

	"cloudy/builder/progress"
)

const sizePage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Name}}: sizes</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff; max-width: 1200px; margin: 1.5rem auto; padding: 0 1rem; }
svg { width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .15rem .6rem; border-bottom: 1px solid #ddd; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bar { background: #8ecae6; height: .7rem; display: block; min-width: 1px; }
details > summary { font-size: 1.2rem; font-weight: 600; cursor: pointer; margin: 1rem 0 .5rem; }
</style>
</head>
<body>
<h1>{{.Name}}</h1>
<p>{{bytes .Sizes.Total}} in {{.Sizes.Files}} files, {{len .Sizes.Packages}} packages</p>
<details open><summary>Packages by section</summary>{{.PackageMap}}</details>
<details><summary>Folders</summary>{{.FolderMap}}</details>
{{range .Tables}}<details><summary>{{.Title}}</summary>
<table>
<tr><th>name</th><th>version</th><th class="n">files</th><th class="n">size</th><th class="n">share</th><th style="width:20%"></th></tr>
{{$top := .Top}}{{range .Rows}}<tr><td>{{.Name}}</td><td>{{.Version}}</td><td class="n">{{.Files}}</td><td class="n">{{bytes .Size}}</td><td class="n">{{printf "%.1f%%" (share .Size $.Sizes.Total)}}</td><td><span class="bar" style="width:{{printf "%.1f%%" (share .Size $top)}}"></span></td></tr>
{{end}}</table></details>
{{end}}</body>
</html>
`

// folderRows bounds the table of folders, of which a root has thousands.
const folderRows = 200

// WriteSizePage writes the sizes as one HTML page that needs nothing else: the
// treemaps and the tables.
func WriteSizePage(w io.Writer, name string, s *Sizes) error {
	type table struct {
		Title string
		Rows  []Sized
		Top   int64
	}
	data := struct {
		Name                  string
		Sizes                 *Sizes
		PackageMap, FolderMap template.HTML
		Tables                []table
	}{Name: name, Sizes: s}
	for _, m := range []struct {
		byFolder bool
		to       *template.HTML
	}{{false, &data.PackageMap}, {true, &data.FolderMap}} {
		var b strings.Builder
		if err := WriteTreemap(&b, s, m.byFolder); err != nil {
			return err
		}
		*m.to = template.HTML(b.String()) // ours, every name in it escaped
	}
	for _, t := range []table{{Title: "All packages", Rows: s.Packages}, {Title: "What no package owns", Rows: s.Unowned}, {Title: "Largest folders", Rows: s.Folders}} {
		if len(t.Rows) == 0 {
			continue
		}
		if t.Top = t.Rows[0].Size; len(t.Rows) > folderRows && t.Title == "Largest folders" {
			t.Rows = t.Rows[:folderRows]
		}
		data.Tables = append(data.Tables, t)
	}
	page, err := template.New("sizes").Funcs(template.FuncMap{"bytes": progress.FormatBytes, "share": share}).Parse(sizePage)
	if err != nil {
		return err
	}
	return page.Execute(w, data)
}
