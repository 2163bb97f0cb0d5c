package cli

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/membership"
)

func (a *app) approveCmd(yes bool) *cobra.Command {
	c := &cobra.Command{
		Use: "deny NAME", Short: "Keep out a node that waits to be let in", Args: cobra.ExactArgs(1),
		Example: "  cloudy-node deny c0123456789ab",
	}
	if yes {
		c.Use, c.Short = "approve NAME", "Let in a node that waits"
		c.Long = "Lets in a node that came with an invitation made by invite --approve; members --pending lists who waits.\nCompare the name with what the node shows itself: its status, its page or its console."
		c.Example = "  cloudy-node members --pending\n  cloudy-node approve c0123456789ab"
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.talk(c.Context(), "POST", "/decide", agent.DecideRequest{Name: membership.Name(args[0]), Approve: yes}, nil)
	}
	return c
}

func (a *app) printPending(c *cobra.Command, asJSON bool) error {
	var list []agent.PendingInfo
	if err := a.talk(c.Context(), "GET", "/pending", nil, &list); err != nil {
		return err
	}
	if asJSON {
		return a.json(list)
	}
	w := tabwriter.NewWriter(a.out, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tHOST\tSINCE")
	for _, p := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\n", p.Name, p.Host, p.At.Format(time.DateTime))
	}
	return w.Flush()
}
