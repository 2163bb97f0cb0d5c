package tinc

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloudy/firstboot/membership"
)

func testNetwork(t testing.TB) Network {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der := x509.MarshalPKCS1PublicKey(&key.PublicKey)
	dir := t.TempDir()
	return Network{
		Dir: filepath.Join(dir, "etc"), RunDir: filepath.Join(dir, "run"), Mode: "switch", Interface: "cloudy", Port: 655,
		KeyPEM:    pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
		Self:      Host{Name: "c000000000001", RSA: der},
		Prefix4:   netip.MustParsePrefix("100.64.0.1/10"),
		Prefix6:   netip.MustParsePrefix("fd00::1/64"),
		ConnectTo: []membership.Name{"c000000000002"},
		Hosts: []Host{
			{Name: "c000000000002", RSA: der, Endpoints: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:655"), netip.MustParseAddrPort("[2001:db8::2]:655")}},
			{Name: "c000000000003", RSA: der},
		},
	}
}

func TestChanges(t *testing.T) {
	n := testNetwork(t)
	for _, step := range []struct {
		name   string
		change func()
		want   Change
	}{
		{"new", func() {}, Change{Restart: true, Address: true}},
		{"same", func() {}, Change{}},
		{"one link less", func() { n.ConnectTo = nil }, Change{Reload: true}},
		{"one host less", func() { n.Hosts = n.Hosts[:1] }, Change{Reload: true}},
		{"one host more", func() { n.Hosts = append(n.Hosts, Host{Name: "c000000000004", RSA: n.Self.RSA}) }, Change{}},
		{"another address", func() { n.Prefix4 = netip.MustParsePrefix("100.64.0.9/10") }, Change{Address: true}},
		{"another port", func() { n.Port = 656 }, Change{Restart: true}},
		{"a file that somebody changed", func() { os.WriteFile(filepath.Join(n.Dir, "tinc.conf"), nil, 0o644) }, Change{Restart: true}},
		{"a host that somebody added", func() { os.WriteFile(filepath.Join(n.Dir, "hosts", "evil"), nil, 0o644) }, Change{Reload: true}},
	} {
		step.change()
		if got, err := n.Write(); err != nil || got != step.want {
			t.Errorf("%s: %+v, %v; want %+v", step.name, got, err, step.want)
		}
	}
}

// TestHostile: nothing that a record could carry gets into the files.
func TestHostile(t *testing.T) {
	for name, change := range map[string]func(*Network){
		"name":     func(n *Network) { n.Hosts[0].Name = "../tinc-up" },
		"key":      func(n *Network) { n.Hosts[0].RSA = []byte("x\nConnectTo = evil\n") },
		"endpoint": func(n *Network) { n.Hosts[0].Endpoints = []netip.AddrPort{netip.MustParseAddrPort("[fe80::1%a b]:1")} },
		"port":     func(n *Network) { n.Hosts[0].Endpoints = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:0")} },
		"link":     func(n *Network) { n.ConnectTo = []membership.Name{"c00000000000f"} },
	} {
		n := testNetwork(t)
		change(&n)
		if _, err := n.Write(); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestTincdReads lets the real tincd judge: it takes the configuration and
// complains of nothing but what a test cannot give it.
func TestTincdReads(t *testing.T) {
	path, err := exec.LookPath("tincd")
	if err != nil {
		if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal("needs tincd")
		}
		t.Skip("needs tincd")
	}
	for _, mode := range []string{"switch", "router"} {
		n := testNetwork(t)
		n.Mode, n.ConnectTo = mode, nil
		n.Self.Address4, n.Self.Address6 = n.Prefix4.Addr(), n.Prefix6.Addr()
		if _, err := n.Write(); err != nil {
			t.Fatal(err)
		}
		// The dummy device needs no rights, and a high port neither.
		conf := filepath.Join(n.Dir, "tinc.conf")
		data, _ := os.ReadFile(conf)
		os.WriteFile(conf, append(data, "DeviceType = dummy\nBindToAddress = 127.0.0.1 34655\n"...), 0o644)
		os.Remove(n.UpScript()) // there is no interface
		log := runTincd(t, path, n.Dir)
		if !strings.Contains(log, "Ready") {
			t.Errorf("%s: tincd does not start:\n%s", mode, log)
		}
		for _, bad := range []string{"nsecure", "rror", "nvalid", "nrecognized", "Bogus", "Cannot", "nknown"} {
			if strings.Contains(log, bad) {
				t.Errorf("%s: tincd says %q:\n%s", mode, bad, log)
			}
		}
	}
}

// runTincd returns what tincd says until it is ready.
func runTincd(t *testing.T, path, dir string) string {
	t.Helper()
	cmd := exec.Command(path, "-c", dir, "-D", "-d3", "--pidfile="+dir+"/pid")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(15*time.Second, func() { cmd.Process.Kill() })
	defer stop.Stop()
	var log bytes.Buffer
	lines := bufio.NewScanner(io.TeeReader(out, &log))
	for lines.Scan() && lines.Text() != "Ready" {
	}
	cmd.Process.Kill()
	cmd.Wait()
	return log.String()
}
