package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDraw(t *testing.T) {
	got := draw("cloudy build a<b", "unpack: start, 2 packages\nunpack: 50%, 1 of 2 packages\nboot: 8.2s\nunpack: done in 1s, 2 packages\nstep  result\nall   1s  \nout/x\n  10 B\n")
	var doc struct {
		Label string `xml:"aria-label,attr"`
		Lines []struct {
			Class string `xml:"class,attr"`
			Text  string `xml:",chardata"`
		} `xml:"text"`
	}
	if err := xml.Unmarshal([]byte(got), &doc); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range doc.Lines {
		lines = append(lines, l.Class+":"+l.Text)
	}
	want := "p:$ cloudy build a<b\nd:unpack: start, 2 packages\n:unpack: done in 1s, 2 packages\nt:step  result\n:all   1s\np:out/x\nd:  10 B"
	if s := strings.Join(lines, "\n"); s != want || doc.Label != "A terminal: cloudy build a<b in 1s" {
		t.Errorf("%s\n%s", doc.Label, s)
	}
}

// TestRun: of a program that fails there is no picture.
func TestRun(t *testing.T) {
	out := filepath.Join(t.TempDir(), "x.svg")
	if err := run(out, ".", nil); err == nil {
		t.Error("nothing was run")
	}
	if err := run(out, ".", []string{"/bin/false"}); err == nil {
		t.Error("a failure is drawn")
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("there is a picture")
	}
	if err := run(out, ".", []string{"/bin/echo", "hello"}); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(out); !strings.Contains(string(data), ">hello</text>") {
		t.Errorf("%s", data)
	}
}
