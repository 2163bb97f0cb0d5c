package page

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// site is a page that runs, with its passwords.
type site struct {
	t            *testing.T
	node         *fake
	server       *Server
	url          string // plain, on the loopback
	secure       string
	admin, guest string
}

func serve(t *testing.T, node *fake, change func(*Options)) *site {
	t.Helper()
	c := credentials(t, node)
	plain, secure := listen(t), listen(t)
	o := Options{Node: node, Credentials: c, Log: slog.New(slog.DiscardHandler), TLSPort: secure.Addr().(*net.TCPAddr).Port}
	if change != nil {
		change(&o)
	}
	s := New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, plain, secure) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	x := &site{t: t, node: node, server: s, url: "http://" + plain.Addr().String(), secure: "https://" + secure.Addr().String()}
	for _, p := range c.Passwords() {
		switch p.Account {
		case Admin:
			x.admin = p.Password
		case Guest:
			x.guest = p.Password
		}
	}
	return x
}

var made struct {
	sync.Mutex
	files map[string][]byte
}

// credentials are made once for each node: what makes passwords slow to guess
// makes them slow to make.
func credentials(t *testing.T, node *fake) *Credentials {
	t.Helper()
	f := node.Facts()
	path := filepath.Join(t.TempDir(), "page.json")
	made.Lock()
	defer made.Unlock()
	if data := made.files[f.Host]; data != nil {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := OpenCredentials(path, f.Name, f.Host, false)
	if err != nil {
		t.Fatal(err)
	}
	if made.files == nil {
		made.files = map[string][]byte{}
	}
	if made.files[f.Host], err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return c
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// need skips the test, or fails it where everything is required.
func need(t *testing.T, ok bool, reason string) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// browser starts Chromium. Its limit is for machines that are busy.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	need(t, path != "", "needs Chromium (Debian: chromium)")
	dir := profile(t)
	alloc, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.DisableGPU,
		chromedp.UserDataDir(dir), chromedp.WSURLReadTimeout(3*time.Minute), chromedp.IgnoreCertErrors,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-default-apps", true), chromedp.Flag("disable-extensions", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("lang", "en"),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"), // nothing leaves this machine
	)
	ctx, end := chromedp.NewContext(alloc)
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	t.Cleanup(func() {
		cancel()
		end()
		stop()
	})
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

// profile is a folder for the browser's profile. Helper processes of the
// browser outlive it by a moment and still write there, so removing it is
// tried again until they are gone.
func profile(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cloudy-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		deadline := time.Now().Add(time.Minute)
		for os.RemoveAll(dir) != nil {
			if time.Now().After(deadline) {
				t.Errorf("the browser still writes into %s a minute after its end", dir)
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	return dir
}

func run(t *testing.T, ctx context.Context, what string, actions ...chromedp.Action) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// login logs in with the form, as a person does.
func (s *site) login(ctx context.Context, account, password string) {
	s.t.Helper()
	run(s.t, ctx, "log in", network.ClearBrowserCookies(), // cookies know no ports
		chromedp.Navigate(s.url+"/login"),
		chromedp.SetValue("#f-account", account, chromedp.ByQuery),
		chromedp.SendKeys("#f-password", password, chromedp.ByQuery),
		chromedp.Submit("#f-password", chromedp.ByQuery),
		chromedp.WaitReady("#menu", chromedp.ByQuery),
	)
}

// session opens a session without the form, for tests of something else.
func (s *site) session(account string) *http.Cookie {
	return &http.Cookie{Name: "cloudy-session", Value: s.server.sessions.begin(account), Path: "/"}
}

// screenOf is a size of screen and a colour scheme.
func screenOf(width, height int64, scheme string) chromedp.Action {
	return chromedp.Tasks{
		emulation.SetDeviceMetricsOverride(width, height, 1, width < 600),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
	}
}
