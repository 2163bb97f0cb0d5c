package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"rsc.io/qr"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/membership"
)

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
