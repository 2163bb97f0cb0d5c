package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/draw"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
	"github.com/spf13/cobra"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/doctor"
	"cloudy/firstboot/nodeconfig"
)

// TestEveryVerbSaysHow: each has a line of help and an example that is of it.
func TestEveryVerbSaysHow(t *testing.T) {
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			look(sub)
		}
		if !c.HasParent() || c.Hidden || c.Name() == "help" || c.Name() == "completion" || c.Parent().Name() == "completion" {
			return
		}
		if c.Short == "" || !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s: %q, for example %q", c.CommandPath(), c.Short, c.Example)
		}
	}
	look((&app{}).rootCmd())
}

// console is a person at a node's command line.
type console struct {
	t    *testing.T
	root string
}

func (c console) run(stdin string, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = Run(c.t.Context(), append([]string{"--root", c.root}, args...), strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

// node runs an agent that is in no mesh and opens no port.
func node(t *testing.T) console {
	t.Helper()
	conf := nodeconfig.Default()
	conf.Page.Off = true
	conf.Mesh.Supervisor = "exec"
	c := console{t, t.TempDir()}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- agent.New(agent.Options{Root: c.root, Config: conf, Log: slog.New(slog.DiscardHandler), Version: "test"}).Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if code, _, _ := c.run("", "status"); code != exitNoAgent {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatal("the agent does not answer")
		}
	}
}

func TestVerbs(t *testing.T) {
	c := node(t)
	for _, tt := range []struct {
		args string
		code int
		want string // on either output
	}{
		{"frobnicate", exitUsage, "unknown command"},
		{"status --frob", exitUsage, "unknown flag"},
		{"status --wait --timeout 1ms", exitNotYet, "identity"},
		{"members", exitOK, "ADMITTED BY"},
		{"members --pending", exitFailed, "in no mesh yet"},
		{"invite", exitFailed, "in no mesh yet"},
		{"invite --uses 0", exitUsage, "more than nothing"},
		{"invite --list", exitFailed, "in no mesh yet"},
		{"approve c0123456789ab", exitFailed, "in no mesh yet"},
		{"revoke c0123456789ab", exitFailed, "in no mesh yet"},
		{"join rubbish", exitFailed, "no invitation"},
		{"services", exitOK, "ADDRESS"},
		{"services on web", exitFailed, "the image has none"},
		{"search http", exitFailed, ""},
		{"publish Wiki _http._tcp 8080 path=/wiki", exitOK, ""},
		{"publish Wiki http 8080", exitFailed, "service type"},
		{"publish Wiki _http._tcp 0x50", exitUsage, "no port"},
		{"publish Wiki _http._tcp 80 path", exitUsage, "KEY=VALUE"},
		{"services --own", exitOK, "published"},
		{"unpublish Wiki _http._tcp", exitOK, ""},
		{"unpublish Wiki _http._tcp", exitFailed, "not published by hand"},
		{"reset --factory --identity", exitUsage, "--factory is all of it"},
		{"reset --services", exitOK, ""},
		{"password", exitFailed, "no page"},
	} {
		code, out, errs := c.run("", strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out+errs, tt.want) {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s%s", tt.args, code, tt.code, tt.want, out, errs)
		}
	}
	if code, out, _ := c.run("", "doctor", "--json"); code != exitOK && code != exitFailed {
		t.Errorf("doctor: %d", code)
	} else {
		var list []doctor.Check
		if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) < 10 {
			t.Errorf("doctor says %s: %v", out, err)
		}
		for _, x := range list {
			if x.State != doctor.OK && x.Do == "" {
				t.Errorf("%s is %s, and nothing says what to do", x.Name, x.State)
			}
		}
	}
}

func TestWithoutAgent(t *testing.T) {
	c := console{t, t.TempDir()}
	for _, args := range []string{"status", "members", "services", "search http", "invite", "reset", "publish A _http._tcp 1"} {
		if code, _, errs := c.run("", strings.Fields(args)...); code != exitNoAgent || !strings.Contains(errs, "cloudy-node.service") {
			t.Errorf("%s: exit code %d: %s", args, code, errs)
		}
	}
	// It works all the same, and says so.
	if code, out, _ := c.run("", "doctor"); code != exitFailed || !strings.Contains(out, "the agent does not answer") {
		t.Errorf("doctor: %d: %s", code, out)
	}
}

// TestQRCode reads the code that invite draws, as a camera sees the terminal.
func TestQRCode(t *testing.T) {
	const token = "cloudy1.eyJtIjoiZ3VpZmkiLCJpIjoi.QWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo-_0123456789"
	var out bytes.Buffer
	if err := printQR(&out, token); err != nil {
		t.Fatal(err)
	}
	const dot = 6
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	var img *image.Gray
	for y, line := range lines {
		body, ok := strings.CutPrefix(line, "\x1b[30;107m") // black on white, whatever the terminal has
		row := []rune(strings.TrimSuffix(body, "\x1b[0m"))
		if !ok || len(row) == 0 {
			t.Fatalf("line %d is %q", y, line)
		}
		if img == nil {
			img = image.NewGray(image.Rect(0, 0, len(row)*dot, 2*len(lines)*dot))
		}
		for x, r := range row {
			for half, dark := range []bool{r == '█' || r == '▀', r == '█' || r == '▄'} {
				shade := color.Gray{255}
				if dark {
					shade = color.Gray{0}
				}
				at := image.Rect(x*dot, (2*y+half)*dot, (x+1)*dot, (2*y+half+1)*dot)
				draw.Draw(img, at, image.NewUniform(shade), image.Point{}, draw.Src)
			}
		}
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	code, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Fatal(err)
	}
	if code.GetText() != token {
		t.Errorf("the code says %q", code.GetText())
	}
}
