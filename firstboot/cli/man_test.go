package cli

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write the man page anew")

const manPage = "../units/cloudy-node.1"

// TestManPage: the page that the units name is that of these verbs. It is not
// made by the program itself, on whose size that would be.
func TestManPage(t *testing.T) {
	want := man((&app{}).rootCmd())
	if *update {
		if err := os.WriteFile(manPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(manPage)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what the command line is: go test ./firstboot/cli -run TestManPage -update (%v)", manPage, err)
	}
	if path, err := exec.LookPath("man"); err == nil {
		cmd := exec.Command(path, "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", manPage)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
		var errs strings.Builder
		cmd.Stderr = &errs
		if err := cmd.Run(); err != nil || errs.Len() > 0 {
			t.Errorf("man says %q, %v", errs.String(), err)
		}
	}
}

// roff is text as groff_man(7) takes it.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	var b strings.Builder
	for line := range strings.Lines(s) {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			b.WriteString(`\&`)
		}
		b.WriteString(line)
	}
	return b.String()
}

func man(root *cobra.Command) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p(`.\" Made by go test ./firstboot/cli -run TestManPage -update`)
	p(`.TH CLOUDY\-NODE 1 "" "" "Cloudy"`)
	p(".SH NAME\ncloudy\\-node \\- %s", roff(strings.ToLower(root.Short[:1])+root.Short[1:]))
	p(".SH SYNOPSIS\n.B cloudy\\-node\n.I command\n.RI [ flags ]")
	p(".SH DESCRIPTION")
	p("The agent of a Cloudy node: it gives the system its keys and names at the first boot, brings it into the mesh of its community network,")
	p("and keeps it there. As a daemon it is run by systemd; everything else asks that daemon, and is for root and the group\n.BR cloudy .")
	p(".SH COMMANDS")
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Hidden || sub.Name() == "help" || sub.Name() == "completion" {
				continue
			}
			p(".SS %s", roff(strings.TrimPrefix(sub.UseLine(), root.Name()+" ")))
			p("%s", roff(strings.TrimSpace(sub.Short)+"."))
			if sub.Long != "" {
				p(".PP\n%s", roff(sub.Long))
			}
			sub.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
				kind, usage := pflag.UnquoteUsage(f)
				if f.Hidden || f.Name == "help" {
					return
				}
				p(".TP\n.B %s\n%s", strings.TrimSpace(roff("--"+f.Name+" "+kind)), roff(usage))
			})
			p(".PP\n.nf\n%s\n.fi", roff(sub.Example))
			each(sub)
		}
	}
	each(root)
	p(".SH EXIT STATUS")
	for _, x := range []struct {
		code int
		text string
	}{{exitOK, "All is well."}, {exitFailed, "The node refused, or its state is a failure."}, {exitUsage, "The command line is wrong."}, {exitNotYet, "The node is on its way, or waits for somebody (status)."}, {exitNoAgent, "No agent answers."}} {
		p(".TP\n.B %d\n%s", x.code, roff(x.text))
	}
	p(".SH FILES")
	for _, x := range [][2]string{
		{"/etc/cloudy/node.json", "What the image says of the node."}, {"/var/lib/cloudy", "The node's keys, its place in the mesh and what it knows of the members."},
		{"/run/cloudy/status.json", "The status, for everybody."}, {"/run/cloudy/control.sock", "Where the daemon is asked."},
	} {
		p(".TP\n.I %s\n%s", roff(x[0]), roff(x[1]))
	}
	p(".SH SEE ALSO\n.BR tincd (8),\n.BR avahi\\-daemon (8)")
	return b.String()
}
