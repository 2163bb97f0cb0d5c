package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/membership"
)

func (a *app) joinCmd() *cobra.Command {
	return &cobra.Command{
		Use: "join [INVITATION]", Short: "Join a mesh with an invitation", Args: cobra.MaximumNArgs(1),
		Long:    "Joins a mesh. Without an argument the invitation is read from standard input,\nwhich keeps it out of the shell's history and of ps.",
		Example: "  cloudy-node join < invitation.txt",
		RunE: func(c *cobra.Command, args []string) error {
			text := ""
			if len(args) == 1 && args[0] != "-" {
				text = args[0]
			} else {
				data, err := io.ReadAll(io.LimitReader(a.in, 64<<10))
				if err != nil {
					return err
				}
				text = string(data)
			}
			if err := a.talk(c.Context(), "POST", "/join", text, nil); err != nil {
				return err
			}
			fmt.Fprintln(a.errs, "The invitation is being tried; cloudy-node status --wait tells when the node is in the mesh.")
			return nil
		},
	}
}

func (a *app) membersCmd() *cobra.Command {
	var asJSON, pending bool
	c := &cobra.Command{
		Use: "members", Short: "List the mesh's members", Args: cobra.NoArgs,
		Example: "  cloudy-node members\n  cloudy-node members --pending",
		RunE: func(c *cobra.Command, _ []string) error {
			if pending {
				return a.printPending(c, asJSON)
			}
			var list []agent.MemberInfo
			if err := a.talk(c.Context(), "GET", "/members", nil, &list); err != nil {
				return err
			}
			if asJSON {
				return a.json(list)
			}
			w := tabwriter.NewWriter(a.out, 2, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tHOST\tSTATE\tROLE\tIPV4\tIPV6\tADMITTED BY\tSERVICES")
			for _, m := range list {
				state := "silent"
				if m.Alive {
					state = "alive"
				}
				if m.Self {
					state = "self"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", m.Name, m.Host, state, m.Role, m.Address4, m.Address6, m.Inviter, m.Services)
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.Flags().BoolVar(&pending, "pending", false, "those who wait here to be let in")
	return c
}

func (a *app) publishCmd() *cobra.Command {
	return &cobra.Command{
		Use: "publish NAME TYPE PORT [KEY=VALUE]...", Short: "Announce a service of this node", Args: cobra.MinimumNArgs(3),
		Example: "  cloudy-node publish Wiki _http._tcp 8080 path=/wiki",
		RunE: func(c *cobra.Command, args []string) error {
			port, err := strconv.ParseUint(args[2], 10, 16)
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("%q is no port", args[2])}
			}
			s := membership.Service{Name: args[0], Type: args[1], Port: uint16(port), TXT: map[string]string{}}
			for _, kv := range args[3:] {
				k, v, ok := strings.Cut(kv, "=")
				if !ok {
					return &exitError{exitUsage, fmt.Errorf("%q is not KEY=VALUE", kv)}
				}
				s.TXT[k] = v
			}
			return a.talk(c.Context(), "POST", "/publish", s, nil)
		},
	}
}

func (a *app) unpublishCmd() *cobra.Command {
	return &cobra.Command{
		Use: "unpublish NAME TYPE", Short: "Take back what publish announced", Args: cobra.ExactArgs(2),
		Example: "  cloudy-node unpublish Wiki _http._tcp",
		RunE: func(c *cobra.Command, args []string) error {
			return a.talk(c.Context(), "POST", "/unpublish", membership.Service{Name: args[0], Type: args[1]}, nil)
		},
	}
}

func (a *app) revokeCmd() *cobra.Command {
	var q agent.RevokeRequest
	c := &cobra.Command{
		Use: "revoke NAME", Short: "Put a member out of the mesh, for good", Args: cobra.ExactArgs(1),
		Long:    "Puts a member out of the mesh, for good: its key never comes back. A member may be put out by those\nwho admitted it, up to the root, and by two roots together.",
		Example: "  cloudy-node revoke c0123456789ab --reason \"stolen\"",
		RunE: func(c *cobra.Command, args []string) error {
			q.Name = membership.Name(args[0])
			return a.talk(c.Context(), "POST", "/revoke", q, nil)
		},
	}
	c.Flags().BoolVar(&q.Subtree, "subtree", false, "and everybody whom it admitted")
	c.Flags().StringVar(&q.Reason, "reason", "", "why, for people")
	return c
}
