package page

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// pictures are those of the documentation.
var pictures = []struct {
	name, path, scheme string
	width, height      int64
	newcomer           bool
}{
	{"overview", "/", "light", 1280, 960, false},
	{"overview-dark", "/", "dark", 360, 740, false},
	{"stages", "/stages", "light", 360, 740, true},
	{"map", "/map", "dark", 1280, 900, false},
	{"services", "/services", "light", 1280, 900, false},
	{"services-narrow", "/services?type=_http._tcp&lang=ca", "light", 360, 740, false},
	{"invite", "/invite", "light", 1280, 800, false},
}

const pictureFolder = "../../docs/page"

// TestPictures: each picture is there and shown; with -update they are taken
// anew.
func TestPictures(t *testing.T) {
	text, err := os.ReadFile("../../docs/page.md")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		takePictures(t)
	}
	for _, p := range pictures {
		file := filepath.Join(pictureFolder, p.name+".png")
		info, err := os.Stat(file)
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Size() > 120_000 {
			t.Errorf("%s has %d bytes", file, info.Size())
		}
		if !strings.Contains(string(text), "page/"+p.name+".png") {
			t.Errorf("docs/page.md does not show %s", p.name)
		}
	}
}

func takePictures(t *testing.T) {
	ctx := browser(t)
	in, out := serve(t, citizen(14), nil), serve(t, newcomer(), nil)
	for _, p := range pictures {
		s := in
		if p.newcomer {
			s = out
		}
		s.login(ctx, Admin, s.admin)
		var shot []byte
		run(t, ctx, p.name, screenOf(p.width, p.height, p.scheme), chromedp.Navigate(s.url+p.path))
		if p.path == "/invite" {
			run(t, ctx, p.name, chromedp.Click("button[value=invite]", chromedp.ByQuery), chromedp.WaitVisible(".qr", chromedp.ByQuery))
		}
		run(t, ctx, p.name, chromedp.WaitReady("main", chromedp.ByQuery), chromedp.CaptureScreenshot(&shot))
		img, err := png.Decode(bytes.NewReader(shot))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, fewColours(img)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(pictureFolder, p.name+".png"), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		if p.path != "/" {
			run(t, ctx, "English", chromedp.Navigate(s.url+"/?lang=en"))
		}
	}
}

// fewColours keeps the 256 colours that are most frequent: a page has few,
// and many shades of them at the edges of letters.
func fewColours(img image.Image) image.Image {
	count := map[color.RGBA]int{}
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			count[color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)]++
		}
	}
	var all []color.RGBA
	for c := range count {
		all = append(all, c)
	}
	slices.SortFunc(all, func(x, y color.RGBA) int {
		return cmp.Or(count[y]-count[x], cmp.Compare(x.R, y.R), cmp.Compare(x.G, y.G), cmp.Compare(x.B, y.B))
	})
	var palette color.Palette
	for _, c := range all[:min(len(all), 256)] {
		palette = append(palette, c)
	}
	index := map[color.RGBA]uint8{}
	for _, c := range all {
		index[c] = uint8(palette.Index(c))
	}
	out := image.NewPaletted(b, palette)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			out.SetColorIndex(x, y, index[color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)])
		}
	}
	return out
}
