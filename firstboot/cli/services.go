package cli

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"cloudy/firstboot/agent"
)

func (a *app) servicesCmd() *cobra.Command {
	var asJSON, own bool
	c := &cobra.Command{
		Use: "services [TYPE]", Short: "List the services in the mesh, or this node's own; turn these on and off", Args: cobra.MaximumNArgs(1),
		Example: "  cloudy-node services\n  cloudy-node services tahoe-lafs\n  cloudy-node services --own\n  cloudy-node services on tahoe-lafs",
		RunE: func(c *cobra.Command, args []string) error {
			if own {
				return a.printOwn(c, asJSON)
			}
			list, err := a.find(c, args)
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(list)
			}
			w := tabwriter.NewWriter(a.out, 2, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tTYPE\tHOST\tADDRESS\tPORT")
			for _, s := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\n", s.Name, s.Type, s.Host, s.Address4, s.Port)
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.Flags().BoolVar(&own, "own", false, "this node's own: on or off, up or down")
	c.AddCommand(a.switchCmd(true), a.switchCmd(false))
	return c
}

// find asks for the services of the type in args, or all.
func (a *app) find(c *cobra.Command, args []string) ([]agent.Found, error) {
	path := "/services"
	if len(args) == 1 {
		path += "?type=" + url.QueryEscape(serviceType(args[0]))
	}
	var list []agent.Found
	return list, a.talk(c.Context(), "GET", path, nil, &list)
}

// serviceType lets people leave out what every type has: "http" is
// _http._tcp.
func serviceType(text string) string {
	if strings.Contains(text, "._") {
		return text
	}
	return "_" + strings.TrimPrefix(text, "_") + "._tcp"
}

func (a *app) switchCmd(on bool) *cobra.Command {
	verb, short := "off", "Turn a service of this node off, for good"
	if on {
		verb, short = "on", "Turn a service of this node on, for good"
	}
	return &cobra.Command{
		Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1),
		Example: "  cloudy-node services " + verb + " tahoe-lafs",
		RunE: func(c *cobra.Command, args []string) error {
			return a.talk(c.Context(), "POST", "/service", agent.ServiceRequest{Name: args[0], On: on}, nil)
		},
	}
}

func (a *app) printOwn(c *cobra.Command, asJSON bool) error {
	var list []agent.OwnService
	if err := a.talk(c.Context(), "GET", "/own", nil, &list); err != nil {
		return err
	}
	if asJSON {
		return a.json(list)
	}
	w := tabwriter.NewWriter(a.out, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tTYPE\tPORT\tPROBLEM")
	for _, s := range list {
		state := "off"
		switch {
		case s.Manual:
			state = "published"
		case s.On && s.Up:
			state = "up"
		case s.On && s.Checked.IsZero():
			state = "on"
		case s.On:
			state = "down"
		}
		port := ""
		if s.Port != 0 {
			port = fmt.Sprint(s.Port)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.Name, state, s.Type, port, s.Problem)
	}
	return w.Flush()
}

func (a *app) searchCmd() *cobra.Command {
	return &cobra.Command{
		Use: "search TYPE", Short: "Find services of a type, for scripts", Args: cobra.ExactArgs(1),
		Long:    "Prints a line for each service of the type that is up somewhere in the mesh: name, type, host, IPv4 and IPv6 address,\nport and the pairs of its text, with tabs between. The exit code is 1 when there is none.",
		Example: "  cloudy-node search _tahoe-lafs._tcp | cut -f 4,6",
		RunE: func(c *cobra.Command, args []string) error {
			list, err := a.find(c, args)
			if err != nil {
				return err
			}
			for _, s := range list {
				fields := []string{s.Name, s.Type, s.Host, s.Address4, s.Address6, fmt.Sprint(s.Port)}
				for _, k := range slices.Sorted(maps.Keys(s.TXT)) {
					fields = append(fields, k+"="+s.TXT[k])
				}
				for i := range fields {
					fields[i] = strings.NewReplacer("\t", " ", "\n", " ").Replace(fields[i])
				}
				fmt.Fprintln(a.out, strings.Join(fields, "\t"))
			}
			if len(list) == 0 {
				return &exitError{exitFailed, nil}
			}
			return nil
		},
	}
}

func (a *app) resetCmd() *cobra.Command {
	var q agent.ResetRequest
	c := &cobra.Command{
		Use: "reset", Short: "Leave the mesh, or go back to how the image was", Args: cobra.NoArgs,
		Long: `Takes the node out of its mesh and forgets it; a new invitation brings it back.

With --identity the node also gets new keys, a new name and new SSH host keys: it is another node then.
With --services alone it stays in the mesh, and its services are on and off as in the image.
With --factory all of this is done, and a seed counts as on the first day. Accounts and files of people stay.`,
		Example: "  cloudy-node reset --identity",
		RunE: func(c *cobra.Command, _ []string) error {
			if q.Factory && (q.Identity || q.Services) {
				return &exitError{exitUsage, errors.New("--factory is all of it")}
			}
			return a.talk(c.Context(), "POST", "/reset", q, nil)
		},
	}
	c.Flags().BoolVar(&q.Identity, "identity", false, "new keys and names, too")
	c.Flags().BoolVar(&q.Services, "services", false, "services on and off as in the image, nothing published by hand")
	c.Flags().BoolVar(&q.Factory, "factory", false, "as the image was")
	return c
}
