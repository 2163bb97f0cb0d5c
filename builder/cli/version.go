package cli

import (
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"cloudy/builder/nodeagent"
)

// VersionInfo says which build of Cloudy this is.
type VersionInfo struct {
	Version  string `json:"version"`            // of the release, or "devel"
	Revision string `json:"revision,omitempty"` // of the source, where the build knew it
	Modified bool   `json:"modified,omitempty"` // the source had changes that no revision has
	Go       string `json:"go"`
	Platform string `json:"platform"`

	// Agents are the node's agents that are built in.
	Agents []nodeagent.Agent `json:"agents,omitempty"`
}

// Version reads what the Go linker wrote into this binary.
func Version() VersionInfo {
	v := VersionInfo{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Agents: nodeagent.Embedded()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

// String is what people are told.
func (v VersionInfo) String() string {
	var b strings.Builder
	printf(&b, "cloudy %s\n", v.Version)
	if v.Revision != "" {
		changed := ""
		if v.Modified {
			changed = " with changes"
		}
		printf(&b, "source %s%s\n", v.Revision, changed)
	}
	printf(&b, "%s %s\n", v.Go, v.Platform)
	for _, g := range v.Agents {
		printf(&b, "agent %-8s %.12s sha256:%s\n", g.Arch, g.Inputs, g.SHA256)
	}
	return b.String()
}

func (a *App) versionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version",
		GroupID: groupHost,
		Short:   "Say which version this is",
		Long:    "Say which version of Cloudy this is, from which source and with which Go it was made, and\nwhich builds of the node's agent, cloudy-node, it puts into images.",
		Example: "  cloudy version\n  cloudy version --json",
		RunE: func(*cobra.Command, []string) error {
			v := Version()
			if asJSON {
				return writeJSON(a.Out, v)
			}
			printf(a.Out, "%s", v)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}
