package cli

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cloudy/firstboot/agent"
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
	if s.Doubled {
		fmt.Fprintln(a.out, "Another machine has, or lately had, this node's keys. If its card was copied, one of the two takes new keys and must be invited anew.")
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
