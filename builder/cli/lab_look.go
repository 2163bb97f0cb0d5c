package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/lab"
)

func (a *App) labStatusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "status [LAB]", Short: "Say how the nodes of a lab are",
		Long:    "Say how far each node is, when it got there, and what it takes; then the links with\nwhat went over them, and the processes of all nodes together.",
		Example: "  cloudy lab status\n  cloudy lab status testbed --json", Args: oneAtMost("lab"), ValidArgsFunction: a.completeLabs,
		RunE: func(c *cobra.Command, args []string) error {
			_, s, err := a.runningLab(c, optional(args), true)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(a.Out, s)
			}
			a.writeLab(s)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

// writeLab writes a lab's state as tables.
func (a *App) writeLab(s *lab.State) {
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	others := len(s.Nodes) - 1
	fmt.Fprintln(w, "node\tstate\tboot\tjoin\treach\tlist\treaches\tlists\tagent\tmemory\taddress")
	for i := range s.Nodes {
		n := &s.Nodes[i]
		state := n.Stage
		switch {
		case !n.On && n.Note != "":
			state = n.Note
		case n.Cut:
			state = "cut; " + state
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d/%d\t%d/%d\t%s\t%s\t%s\n", n.Name, state, clock(n.Boot), clock(n.Join), clock(n.Reach), clock(n.List),
			n.Reached, others, n.Listed, s.Services, mebibytes(n.Agent), mebibytes(n.Memory), n.Address4)
	}
	w.Flush()
	printf(a.Out, "\n")
	w = tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "link\tbetween\tdelay\tloss\trate\tstate\ttraffic\tlost")
	for _, l := range s.Links {
		state := "up"
		if !l.Up {
			state = "cut"
		}
		fmt.Fprintf(w, "%s\t%s, %s\t%s\t%.3g%%\t%s\t%s\t%s\t%d\n", l.Name, l.A, l.B, time.Duration(float64(l.Delay)*float64(time.Second)), l.Loss*100, rate(l.Rate), state, mebibytes(l.Bytes), l.Lost)
	}
	w.Flush()
	printf(a.Out, "\n")
	if len(s.Processes) > 0 {
		w = tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "process\tcount\tresident\tlargest\tCPU")
		var names []string
		for name := range s.Processes {
			names = append(names, name)
		}
		slices.SortFunc(names, func(x, y string) int { return int(s.Processes[y].CPU*1000) - int(s.Processes[x].CPU*1000) })
		for _, name := range names {
			u := s.Processes[name]
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%.1fs\n", name, u.Count, mebibytes(u.Resident), mebibytes(u.Largest), float64(u.CPU))
		}
		w.Flush()
		printf(a.Out, "\n")
	}
	w = tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "since a node's start\tmin\tmedian\tmax")
	for _, row := range s.Times() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", row.What, clock(row.Min), clock(row.Median), clock(row.Max))
	}
	w.Flush()
	if s.Complete != 0 {
		printf(a.Out, "\nafter %s every node reached and listed all\n", clock(s.Complete))
	}
	if s.Error != "" {
		a.Warn("%s", s.Error)
	}
}

func clock(s lab.Seconds) string {
	if s == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1fs", float64(s))
}

func mebibytes(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// rate writes bits per second as lab files have them.
func rate(n int64) string {
	switch {
	case n == 0:
		return "-"
	case n >= 1e9:
		return fmt.Sprintf("%ggbit", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%gmbit", float64(n)/1e6)
	}
	return fmt.Sprintf("%gkbit", float64(n)/1e3)
}

func (a *App) labExecCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use: "exec NODE -- COMMAND [ARGUMENT...]", Short: "Run a command in a node of a lab",
		Long:    "Run a command as root in a node of a lab, in all of the node's namespaces. The exit\nstatus is the command's.",
		Example: "  cloudy lab exec trieste-1 -- cloudy-node services\n  cloudy lab exec trieste-1 -- journalctl -u cloudy-node\n  cloudy lab exec trieste-1 -- bash",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 || args[1] == "--" && len(args) < 3 {
				return errors.New("want a node and a command")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			_, s, err := a.runningLab(c, name, false)
			if err != nil {
				return err
			}
			if args[1] == "--" {
				args = append(args[:1:1], args[2:]...)
			}
			var nodes []string
			for i := range s.Nodes {
				nodes = append(nodes, s.Nodes[i].Name)
			}
			if !contains(nodes, args[0]) {
				hint := "\"cloudy lab status\" lists the nodes"
				if near := nearest(args[0], nodes); near != "" {
					hint = fmt.Sprintf("did you mean %q?", near)
				}
				return fail.WithHint(fail.User, fmt.Errorf("lab %s has no node %q", s.Name, args[0]), hint)
			}
			err = lab.Exec(c.Context(), s, lab.Command{Node: args[0], Args: args[1:], Stdin: a.In, Stdout: a.Out, Stderr: a.Err})
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
					return exitStatus(128 + int(ws.Signal()))
				}
				return exitStatus(exit.ExitCode())
			}
			return fail.Mark(fail.Host, err)
		},
	}
	c.Flags().StringVar(&name, "lab", "", "`name` of the lab (default: the only one)")
	c.Flags().SetInterspersed(false)
	return c
}

// labCutCommand is cut, or its opposite.
func (a *App) labCutCommand(cut bool) *cobra.Command {
	var name string
	c := &cobra.Command{
		Use: "heal NAME...", Short: "Undo a cut",
		Long:    "Undo cuts: NAME is a link, site or node that was cut. Without NAME all is healed.",
		Example: "  cloudy lab heal italy\n  cloudy lab heal",
	}
	if cut {
		c.Use, c.Short = "cut NAME...", "Cut links, sites or nodes off"
		c.Long = "Break a link, take a site from all others, or pull the plug of a node's network.\nPackets take the ways that are left."
		c.Example = "  cloudy lab cut italy\n  cloudy lab cut stockholm upc-north-3"
	}
	c.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 && cut {
			return errors.New("want names of links, sites or nodes")
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		dir, s, err := a.runningLab(c, name, false)
		if err != nil {
			return err
		}
		names := s.Names()
		for _, n := range args {
			if !contains(names, n) {
				hint := "\"cloudy lab status\" lists nodes and links"
				if near := nearest(n, names); near != "" {
					hint = fmt.Sprintf("did you mean %q?", near)
				}
				return fail.WithHint(fail.User, fmt.Errorf("lab %s has no link, site or node %q", s.Name, n), hint)
			}
		}
		if cut {
			return fail.Mark(fail.Host, lab.Cut(c.Context(), dir, args))
		}
		if len(args) == 0 {
			args = names
		}
		return fail.Mark(fail.Host, lab.Heal(c.Context(), dir, args))
	}
	c.Flags().StringVar(&name, "lab", "", "`name` of the lab (default: the only one)")
	return c
}

func (a *App) labPageCommand() *cobra.Command {
	var listen, out string
	c := &cobra.Command{
		Use: "page [LAB]", Short: "Draw a lab: sites, links, nodes and how they are",
		Long:    "Draw a lab as a page: sites and links, each node with its state, and tables. Without\nflags the page is served at 127.0.0.1:7070 and follows the lab; --out writes it to a file.",
		Example: "  cloudy lab page\n  cloudy lab page --listen 127.0.0.1:8080\n  cloudy lab page --out lab.html", Args: oneAtMost("lab"), ValidArgsFunction: a.completeLabs,
		RunE: func(c *cobra.Command, args []string) error {
			dir, s, err := a.runningLab(c, optional(args), true)
			if err != nil {
				return err
			}
			if out != "" {
				page, err := lab.Page(s, 0)
				if err == nil {
					err = os.WriteFile(out, page, 0o644)
				}
				return fail.Mark(fail.Host, err)
			}
			return a.serveLab(c.Context(), dir, listen)
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:7070", "`address` and port to serve the page at")
	c.Flags().StringVarP(&out, "out", "o", "", "write the page to this `file` instead")
	return c
}

func (a *App) serveLab(ctx context.Context, dir, listen string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fail.WithHint(fail.Host, err, "choose another port with --listen")
	}
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := lab.Get(r.Context(), dir, true)
		var page []byte
		if err == nil {
			page, err = lab.Page(s, 2*time.Second)
		}
		if err != nil {
			http.Error(w, "The lab does not answer: "+err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	})}
	printf(a.Err, "http://%s/ shows the lab; Ctrl-C ends this, not the lab\n", strings.Replace(l.Addr().String(), "[::]", "localhost", 1))
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); ctx.Err() == nil {
		return fail.Mark(fail.Host, err)
	}
	return nil
}
