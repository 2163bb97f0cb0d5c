package meshtest

import (
	"strconv"
	"strings"
	"testing"

	"cloudy/firstboot/nodeconfig"
)

// TestWatchdog: an agent that hangs is ended and started again by systemd, and
// knows what it knew. systemd judges what the units may do as they run.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	m := boot(t, nodeconfig.Config{Mesh: nodeconfig.Mesh{Create: true, Network: "test"}})
	m.eventually("in its mesh", func() bool { return m.status().Ready })
	first := m.status()
	// Three minutes are for slow boards.
	const sooner = `mkdir -p /etc/systemd/system/cloudy-node.service.d
printf '[Service]\nWatchdogSec=30s\n' > /etc/systemd/system/cloudy-node.service.d/sooner.conf
systemctl daemon-reload
systemctl restart cloudy-node.service`
	if out, err := m.run("sh", "-ec", sooner); err != nil {
		t.Fatal(out, err)
	}
	show := func(property string) string {
		out, _ := m.run("systemctl", "show", "--property="+property, "--value", "cloudy-node.service")
		return out
	}
	m.eventually("back after a restart", func() bool { return m.status().Ready })
	hung := show("MainPID")
	if _, err := m.run("kill", "-STOP", hung); err != nil {
		t.Fatal(err)
	}
	m.eventually("started again", func() bool {
		return show("MainPID") != hung && m.status().Ready && m.status().Name == first.Name
	})
	if journal, _ := m.run("journalctl", "--no-pager", "--unit=cloudy-node.service", "--grep=atchdog timeout"); !strings.Contains(journal, "imeout") {
		t.Errorf("it was not the watchdog: %s", journal)
	}

	for unit, limit := range map[string]float64{"cloudy-node.service": 2.5, "cloudy-mesh.service": 3, "cloudy-identity.service": 4, "cloudy-wish.service": 4} {
		out, _ := m.run("systemd-analyze", "security", "--no-pager", unit)
		_, text, ok := strings.Cut(out, "Overall exposure level for "+unit+": ")
		if !ok {
			t.Errorf("%s: systemd says %s", unit, out)
			continue
		}
		level, err := strconv.ParseFloat(strings.Fields(text)[0], 64)
		if err != nil || level > limit {
			t.Errorf("%s: exposure %v, %v; want at most %v", unit, level, err, limit)
		}
		t.Logf("%-24s %.1f", unit, level)
	}
}
