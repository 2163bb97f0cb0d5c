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
		Long:    "Looks at what the node needs: configuration, keys, tincd, the tun device, Avahi, clock, random numbers, room, ports, page,\nnetwork, mesh and services.\nIt changes nothing, and works without a running agent. The exit code is 1 when something is bad.",
		Example: "  cloudy-node doctor",
		RunE: func(c *cobra.Command, _ []string) error {
			h := doctor.Host{Root: a.root}
			h.Config, h.ConfigErr = nodeconfig.Load(filepath.Join(a.root, nodeconfig.Path))
			if h.ConfigErr != nil {
				h.Config = nodeconfig.Default()
			}
			var s agent.Status
			if h.AgentErr = a.talk(c.Context(), "GET", "/status", nil, &s); h.AgentErr == nil {
				h.Status = &s
				a.talk(c.Context(), "GET", "/own", nil, &h.Services)
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
