package agent

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cloudy/firstboot/tinc"
)

// TestNeighbours gives entries to the kernel of a network namespace and has
// ip(8) show them. One that is there already stays as it is.
func TestNeighbours(t *testing.T) {
	if _, err := exec.LookPath("ip"); err != nil || os.Getuid() != 0 {
		if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal("needs root and iproute2")
		}
		t.Skip("needs root and iproute2")
	}
	runtime.LockOSThread() // the thread ends with the test, and its namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	ip := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	const there = "02:00:00:00:00:99"
	ip("link", "add", "overlay", "type", "veth", "peer", "name", "other")
	ip("link", "set", "overlay", "up")
	ip("link", "set", "other", "up")
	ip("neigh", "add", "100.64.0.9", "lladdr", there, "dev", "overlay")
	dev, err := net.InterfaceByName("overlay")
	if err != nil {
		t.Fatal(err)
	}
	mac := tinc.HardwareAddress("c0123456789ab")
	var batch []byte
	for _, addr := range []string{"100.64.0.9", "100.64.0.7", "fd3a:91c2:77d0::7"} {
		batch = append(batch, neighbour(dev.Index, netip.MustParseAddr(addr), mac)...)
	}
	if err := sendNeighbours(batch); err != nil {
		t.Fatal(err)
	}
	shown := ip("neigh", "show", "dev", "overlay")
	for _, want := range []string{
		"100.64.0.7 lladdr " + mac.String() + " STALE",
		"fd3a:91c2:77d0::7 lladdr " + mac.String() + " STALE",
		"100.64.0.9 lladdr " + there,
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
}
