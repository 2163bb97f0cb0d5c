// Command picture runs a program and draws what it says as a terminal would
// show it, as SVG: the picture of a build in the README (`make picture`).
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"html"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	out := flag.String("o", "picture.svg", "`file` of the picture")
	dir := flag.String("C", ".", "`folder` to run the program in")
	flag.Parse()
	if err := run(*out, *dir, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(out, dir string, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("which program?")
	}
	program, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	var said bytes.Buffer
	c := exec.Command(program, args[1:]...)
	c.Dir, c.Stdout = dir, io.MultiWriter(&said, os.Stderr)
	c.Stderr = c.Stdout // one pipe, so that the order is the terminal's
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	picture := draw(filepath.Base(program)+" "+strings.Join(args[1:], " "), said.String())
	return os.WriteFile(out, []byte(picture), 0o644)
}

// passing are lines that a person sees pass by, and that say nothing later on.
var passing = regexp.MustCompile(`^[^ ].*: ([0-9]+%|[0-9]+ packages|[0-9.]+s)(,|$)`)

const (
	fontWidth  = 8.43 // of a character at 14 px in the usual monospaced fonts
	lineHeight = 18
	margin     = 16
	style      = `text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#d7dde4;white-space:pre}` +
		`.p{fill:#7ee787}.d{fill:#8b949e}.t{fill:#79c0ff}`
)

// draw makes the picture of a command and what it said.
func draw(command, said string) string {
	lines := []string{"$ " + command}
	label := ""
	for s := bufio.NewScanner(strings.NewReader(said)); s.Scan(); {
		if passing.MatchString(s.Text()) {
			continue
		}
		lines = append(lines, strings.TrimRight(s.Text(), " "))
		if f := strings.Fields(s.Text()); len(f) == 2 && f[0] == "all" {
			label = " in " + f[1]
		}
	}
	width := 0
	for _, l := range lines {
		width = max(width, len([]rune(l)))
	}
	w, h := 2*margin+int(float64(width)*fontWidth), 2*margin+lineHeight*len(lines)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`+"\n",
		w, h, w, h, html.EscapeString("A terminal: "+command+label))
	fmt.Fprintf(&b, "<style>%s</style>\n<rect width=\"%d\" height=\"%d\" rx=\"8\" fill=\"#0d1117\"/>\n", style, w, h)
	for i, l := range lines {
		class := ""
		switch {
		case strings.HasPrefix(l, "$ "), strings.HasPrefix(l, "out/"):
			class = ` class="p"`
		case strings.HasPrefix(l, "step "):
			class = ` class="t"`
		case strings.Contains(l, ": start"), strings.HasPrefix(l, "  "):
			class = ` class="d"`
		}
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\"%s xml:space=\"preserve\">%s</text>\n", margin, margin+13+lineHeight*i, class, html.EscapeString(l))
	}
	return b.String() + "</svg>\n"
}
