package cli

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/page"
)

func (a *app) passwordCmd() *cobra.Command {
	var renew string
	var asJSON bool
	c := &cobra.Command{
		Use: "password", Short: "Tell how to log in to the node's page", Args: cobra.NoArgs,
		Long: "Tells where the node's page is, its certificate's fingerprint, and the passwords of its accounts as long as\n" +
			"they are the ones that were made at first boot. With --new an account gets another one.",
		Example: "  cloudy-node password\n  cloudy-node password --new admin",
		RunE: func(c *cobra.Command, _ []string) error {
			if renew != "" {
				var p page.Password
				if err := a.talk(c.Context(), "POST", "/password", renew, &p); err != nil {
					return err
				}
				if asJSON {
					return a.json(p)
				}
				fmt.Fprintln(a.out, p.Password)
				return nil
			}
			var p agent.PageAccess
			if err := a.talk(c.Context(), "GET", "/passwords", nil, &p); err != nil {
				return err
			}
			if asJSON {
				return a.json(p)
			}
			for _, u := range p.Pages {
				fmt.Fprintln(a.out, u)
			}
			w := tabwriter.NewWriter(a.out, 2, 0, 2, ' ', 0)
			for _, x := range p.Passwords {
				if x.Password == "" {
					x.Password = "(chosen by its owner; --new " + x.Account + " makes another one)"
				}
				fmt.Fprintf(w, "%s\t%s\n", x.Account, x.Password)
			}
			fmt.Fprintf(w, "certificate\t%s\n", p.Fingerprint)
			return w.Flush()
		},
	}
	c.Flags().StringVar(&renew, "new", "", "make a new password for this `ACCOUNT`, admin or guest, and print it")
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}
