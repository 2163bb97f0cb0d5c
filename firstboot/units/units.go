// Package units holds what of systemd a node needs: the agent's units, their
// preset, its account and folders. This is the one place for them; the builder
// and the lab put them into roots.
package units

import (
	"embed"
	"path"
	"strings"
)

// Files are the units, the preset, the sysusers.d and tmpfiles.d files, and the
// man page that the units name. Path says where each belongs.
//
//go:embed *.service *.path *.preset *.conf *.1
var Files embed.FS

// Path is where one of the files lies in a root, without the first slash
// (systemd.unit(5), systemd.preset(5), sysusers.d(5), tmpfiles.d(5)).
func Path(name string) string {
	switch {
	case name == "sysusers.conf":
		return "usr/lib/sysusers.d/cloudy-node.conf"
	case name == "tmpfiles.conf":
		return "usr/lib/tmpfiles.d/cloudy-node.conf"
	case path.Ext(name) == ".1":
		return "usr/share/man/man1/" + name
	case path.Ext(name) == ".preset":
		return "usr/lib/systemd/system-preset/" + name
	}
	return "usr/lib/systemd/system/" + name
}

// Wanted are the units that the preset enables, with the target that pulls
// each in: a link in /etc/systemd/system/TARGET.wants is what enables it.
func Wanted() map[string]string {
	preset, err := Files.ReadFile("80-cloudy.preset")
	if err != nil {
		panic(err) // it is built in
	}
	out := map[string]string{}
	for line := range strings.Lines(string(preset)) {
		unit, ok := strings.CutPrefix(strings.TrimSpace(line), "enable ")
		if !ok {
			continue
		}
		data, err := Files.ReadFile(unit)
		if err != nil {
			panic(err)
		}
		for l := range strings.Lines(string(data)) {
			if target, ok := strings.CutPrefix(strings.TrimSpace(l), "WantedBy="); ok {
				out[unit] = target
			}
		}
	}
	return out
}
