package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// VersionInfo says which build of Cloudy this is.
type VersionInfo struct {
	Version  string `json:"version"`            // of the release, or "devel"
	Revision string `json:"revision,omitempty"` // of the source, where the build knew it
	Modified bool   `json:"modified,omitempty"` // the source had changes that no revision has
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Version reads what the Go linker wrote into this binary.
func Version() VersionInfo {
	v := VersionInfo{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
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

func (a *App) versionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version",
		GroupID: groupHost,
		Short:   "Say which version this is",
		Long:    "Say which version of Cloudy this is, from which source and with which Go it was made.",
		Example: "  cloudy version\n  cloudy version --json",
		RunE: func(*cobra.Command, []string) error {
			v := Version()
			if asJSON {
				return writeJSON(a.Out, v)
			}
			printf(a.Out, "cloudy %s\n", v.Version)
			if v.Revision != "" {
				changed := ""
				if v.Modified {
					changed = " with changes"
				}
				printf(a.Out, "source %s%s\n", v.Revision, changed)
			}
			printf(a.Out, "%s %s\n", v.Go, v.Platform)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}
