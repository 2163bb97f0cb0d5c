package cli

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"rsc.io/qr"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/membership"
)

func (a *app) statusCmd() *cobra.Command {
	var asJSON, wait bool
	var timeout time.Duration
	c := &cobra.Command{
		Use: "status", Short: "Say how far the node is", Args: cobra.NoArgs,
		Long:    "Says how far the node is. The exit code is 0 when every stage is done, 1 when one failed or was refused,\n3 when the node is on its way or waits for somebody, 4 when no agent answers.",
		Example: "  cloudy-node status --wait --timeout 5m",
		RunE: func(c *cobra.Command, _ []string) error {
			var s agent.Status
			for deadline := time.Now().Add(timeout); ; {
				s = agent.Status{} // fields that an answer leaves out
				err := a.talk(c.Context(), "GET", "/status", nil, &s)
				if err == nil && s.Ready {
					break
				}
				if !wait || time.Now().After(deadline) {
					if err != nil {
						return err
					}
					break
				}
				select {
				case <-c.Context().Done():
					return c.Context().Err()
				case <-time.After(300 * time.Millisecond):
				}
			}
			if asJSON {
				if err := a.json(s); err != nil {
					return err
				}
			} else {
				a.printStatus(s)
			}
			if s.Ready {
				return nil
			}
			for _, x := range s.Stages {
				if x.State == agent.Failed || x.State == agent.Refused {
					return &exitError{exitFailed, nil}
				}
			}
			return &exitError{exitNotYet, nil}
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.Flags().BoolVar(&wait, "wait", false, "wait until every stage is done")
	c.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long to wait")
	return c
}

func (a *app) printStatus(s agent.Status) {
	fmt.Fprintf(a.out, "%s (%s)", s.Host, s.Name)
	if s.Network != "" {
		fmt.Fprintf(a.out, " in mesh %s: %s, %s; %d of %d members alive", s.Network, s.Address4, s.Address6, s.Alive, s.Members)
	}
	fmt.Fprintln(a.out)
	if s.Cloned && s.Network == "" {
		fmt.Fprintln(a.out, "This system was copied from another node. It has new keys, and needs an invitation of its own.")
	}
	w := tabwriter.NewWriter(a.out, 2, 0, 2, ' ', 0)
	for _, x := range s.Stages {
		text := x.Detail
		if x.Error != "" {
			text = x.Error
		}
		if !x.Next.IsZero() {
			text += fmt.Sprintf(" (attempt %d, next in %s)", x.Attempts, max(0, time.Until(x.Next)).Round(time.Second))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", x.Name, x.State, text)
	}
	w.Flush()
}

func (a *app) inviteCmd() *cobra.Command {
	var q agent.InviteRequest
	var list, asJSON, inviter, noQR bool
	var cancel string
	c := &cobra.Command{
		Use: "invite", Short: "Invite a node into the mesh", Args: cobra.NoArgs,
		Long:    "Prints an invitation: a line of text, and the same as a QR code. Whoever has it can join, once, until it expires.",
		Example: "  cloudy-node invite --expires 24h\n  cloudy-node invite --uses 10 --inviter\n  cloudy-node invite --list\n  cloudy-node invite --cancel 4fzYk3Qa",
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case cancel != "":
				return a.talk(c.Context(), "POST", "/cancel", cancel, nil)
			case list:
				return a.listInvitations(c)
			}
			if q.Lifetime <= 0 || q.Uses < 1 {
				return &exitError{exitUsage, errors.New("--expires and --uses must be more than nothing")}
			}
			if inviter {
				q.Role = membership.RoleInviter
			}
			var v agent.InviteAnswer
			if err := a.talk(c.Context(), "POST", "/invite", q, &v); err != nil {
				return err
			}
			if asJSON {
				return a.json(v)
			}
			if !noQR {
				if err := printQR(a.errs, v.Token); err != nil {
					return err
				}
			}
			fmt.Fprintf(a.errs, "Good for %d node(s) until %s. Put the line into cloudy.txt on the card's boot partition,\nor give it to cloudy-node join.\n\n", q.Uses, v.Expires.Format(time.RFC1123))
			fmt.Fprintln(a.out, v.Token) // alone on standard output, for scripts
			return nil
		},
	}
	f := c.Flags()
	f.DurationVar(&q.Lifetime, "expires", 72*time.Hour, "how long it is good")
	f.IntVar(&q.Uses, "uses", 1, "how many nodes it admits")
	f.BoolVar(&inviter, "inviter", false, "who joins with it may invite others")
	f.BoolVar(&q.Approve, "approve", false, "each node that comes with it waits until you approve it")
	f.BoolVar(&noQR, "no-qr", false, "no QR code")
	f.BoolVar(&asJSON, "json", false, "as JSON")
	f.BoolVar(&list, "list", false, "list the invitations given out here")
	f.StringVar(&cancel, "cancel", "", "take back the invitation with this `ID`")
	return c
}

func (a *app) listInvitations(c *cobra.Command) error {
	var list []struct {
		Invitation membership.Invitation
		Cancelled  bool
		Used       []struct {
			Key  membership.Key
			Host string
		}
	}
	if err := a.talk(c.Context(), "GET", "/invitations", nil, &list); err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.out, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tUSED\tROLE\tEXPIRES\tBY")
	for _, i := range list {
		var by []string
		for _, u := range i.Used {
			by = append(by, fmt.Sprintf("%s (%s)", u.Key.Name(), u.Host))
		}
		state := time.Unix(i.Invitation.Expires, 0).Format(time.DateTime)
		if i.Cancelled {
			state = "taken back"
		}
		fmt.Fprintf(w, "%s\t%d of %d\t%s\t%s\t%s\n", i.Invitation.ID(), len(i.Used), i.Invitation.Uses, i.Invitation.Role, state, strings.Join(by, " "))
	}
	return w.Flush()
}

// printQR draws with half blocks, dark on light whatever the terminal's
// colours are, with the quiet zone that readers need (ISO/IEC 18004).
func printQR(w io.Writer, text string) error {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return fmt.Errorf("QR code: %w", err)
	}
	const zone = 4
	dark := func(x, y int) bool { return code.Black(x, y) } // outside of the code: light
	var b strings.Builder
	for y := -zone; y < code.Size+zone; y += 2 {
		b.WriteString("\x1b[30;107m")
		for x := -zone; x < code.Size+zone; x++ {
			switch top, bottom := dark(x, y), dark(x, y+1); {
			case top && bottom:
				b.WriteRune('█')
			case top:
				b.WriteRune('▀')
			case bottom:
				b.WriteRune('▄')
			default:
				b.WriteRune(' ')
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	_, err = io.WriteString(w, b.String())
	return err
}

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
