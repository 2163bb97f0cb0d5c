package cli

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"cloudy/firstboot/agent"
	"cloudy/firstboot/doctor"
	"cloudy/firstboot/nodeconfig"
)

func (a *app) doctorCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "doctor", Short: "Look for what is wrong with this node, and say what to do", Args: cobra.NoArgs,
		Long:    "Looks at what the node needs: tincd, the tun device, Avahi, clock, random numbers, ports, network and mesh.\nIt changes nothing, and works without a running agent. The exit code is 1 when something is bad.",
		Example: "  cloudy-node doctor",
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := nodeconfig.Load(filepath.Join(a.root, nodeconfig.Path))
			if err != nil {
				return err
			}
			h := doctor.Host{Root: a.root, Config: conf}
			var s agent.Status
			if err := a.talk(c.Context(), "GET", "/status", nil, &s); err == nil {
				h.Status = &s
			}
			list := doctor.Run(c.Context(), h)
			if asJSON {
				if err := a.json(list); err != nil {
					return err
				}
			}
			bad := 0
			for _, x := range list {
				if x.State == doctor.Bad {
					bad++
				}
				if asJSON {
					continue
				}
				fmt.Fprintf(a.out, "%-5s %-15s %s\n", x.State, x.Name, x.Detail)
				if x.State != doctor.OK && x.Do != "" {
					fmt.Fprintf(a.out, "%22s%s\n", "", x.Do)
				}
			}
			if bad > 0 {
				return &exitError{exitFailed, errors.New("something is bad")}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}
