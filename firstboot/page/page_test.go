package page

import (
	"bytes"
	_ "embed"
	"fmt"
	"image/png"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

//go:embed testdata/check.js
var checks string

// TestInChromium is the page as people use it, in one browser.
func TestInChromium(t *testing.T) {
	ctx := browser(t)
	text := func(t *testing.T, selector string) (s string) {
		t.Helper()
		run(t, ctx, selector, chromedp.Text(selector, &s, chromedp.ByQuery))
		return s
	}

	t.Run("login", func(t *testing.T) {
		s := serve(t, citizen(14), nil)
		run(t, ctx, "wrong password", screenOf(1280, 800, "light"),
			chromedp.Navigate(s.url+"/map"), chromedp.WaitVisible("#f-password", chromedp.ByQuery),
			chromedp.SendKeys("#f-password", "wrong\n", chromedp.ByQuery), chromedp.WaitVisible("[role=alert]", chromedp.ByQuery))
		if got := text(t, "[role=alert]"); got != mWrongPassword[english] {
			t.Errorf("said %q", got)
		}
		run(t, ctx, "right password",
			chromedp.SendKeys("#f-password", s.admin+"\n", chromedp.ByQuery), chromedp.WaitVisible("svg.map .node.self", chromedp.ByQuery))
		// The keyboard's first stop leads past the menu.
		var first string
		run(t, ctx, "tab", chromedp.KeyEvent("\t"), chromedp.Evaluate(`(()=>{let a=document.activeElement;return a.className+" "+(a.getBoundingClientRect().top>=0)})()`, &first))
		if first != "skip true" {
			t.Errorf("the first stop of the keyboard is %q", first)
		}
		// The narrow menu opens and closes without a script.
		run(t, ctx, "menu", screenOf(360, 740, "light"), chromedp.Evaluate(`location.href`, nil),
			emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(s.url+"/"), chromedp.WaitNotVisible("#menu", chromedp.ByQuery),
			chromedp.Click(".menu-open", chromedp.ByQuery), chromedp.WaitVisible("#menu", chromedp.ByQuery),
			chromedp.Click(".menu-close", chromedp.ByQuery), chromedp.WaitNotVisible("#menu", chromedp.ByQuery),
			chromedp.Click(".menu-open", chromedp.ByQuery), chromedp.Click(`#menu a[href="/members"]`, chromedp.ByQuery), chromedp.WaitVisible("#members", chromedp.ByQuery),
			emulation.SetScriptExecutionDisabled(false))
		run(t, ctx, "log out", screenOf(1280, 800, "light"), chromedp.Click("form[action='/logout'] button", chromedp.ByQuery), chromedp.WaitVisible("#f-password", chromedp.ByQuery))
	})

	t.Run("join", func(t *testing.T) {
		s := serve(t, newcomer(), nil)
		s.login(ctx, Admin, s.admin)
		run(t, ctx, "join", chromedp.Click("#next a", chromedp.ByQuery), chromedp.WaitVisible("#f-invitation", chromedp.ByQuery),
			chromedp.SendKeys("#f-invitation", "here it is: "+fakeToken, chromedp.ByQuery), chromedp.Click("main form button", chromedp.ByQuery),
			chromedp.WaitVisible("li.stage.warn", chromedp.ByQuery))
		if got := s.node.did(); len(got) != 1 || !strings.Contains(got[0], fakeToken) {
			t.Fatalf("the node did %q", got)
		}
		// A stage changes on the node: it changes on the page, which is
		// not loaded again.
		run(t, ctx, "mark", chromedp.Evaluate(`window.same = true`, nil))
		change := func(state string, what func(*fake)) {
			t.Helper()
			s.node.set(what)
			run(t, ctx, state, chromedp.WaitVisible(fmt.Sprintf("#stages > li:nth-child(3).%s", state), chromedp.ByQuery))
		}
		change("bad", func(f *fake) {
			f.facts.Stages[2].State, f.facts.Stages[2].Error = Failed, "dial tcp 10.139.40.84:7655: connect: no route to host"
			f.facts.Stages[2].Next, f.facts.Stages[2].Attempts = time.Now().Add(time.Minute), 3
		})
		if got := text(t, "#stages"); !strings.Contains(got, "no route to host") || !strings.Contains(got, "Attempt 3") {
			t.Errorf("the stages say %q", got)
		}
		change("good", func(f *fake) {
			g := citizen(14)
			f.facts, f.members, f.links = g.facts, g.members, g.links
		})
		var same bool
		run(t, ctx, "same page", chromedp.Poll(`document.getElementById("status").textContent.includes("guifi")`, nil), chromedp.Evaluate(`window.same === true`, &same))
		if !same {
			t.Error("the page was loaded again")
		}
	})

	t.Run("services", func(t *testing.T) {
		s := serve(t, citizen(14), nil)
		s.login(ctx, Guest, s.guest)
		var rows int
		var link string
		run(t, ctx, "filter", chromedp.Navigate(s.url+"/services"), chromedp.WaitVisible("#found table", chromedp.ByQuery),
			chromedp.Click(`//ul[@class="tabs"]//a[contains(@href, "_http._tcp")]`), chromedp.WaitVisible(`//ul[@class="tabs"]//a[@aria-current="page" and starts-with(., "Web ")]`),
			chromedp.SendKeys("#f-host", "gracia", chromedp.ByQuery), chromedp.SetValue("#f-latency", "50", chromedp.ByQuery),
			chromedp.Click(".field-go button", chromedp.ByQuery), chromedp.WaitVisible(".field-go a", chromedp.ByQuery),
			chromedp.Evaluate(`document.querySelectorAll("#found tbody tr").length`, &rows),
			chromedp.AttributeValue("#found tbody a.button", "href", &link, nil, chromedp.ByQuery))
		if rows != 1 || link != "http://100.65.37.18:8080/wiki" {
			t.Errorf("%d services, %q", rows, link)
		}
		// A service that ends goes from the page, filtered as it is.
		s.node.set(func(f *fake) {
			f.catalogue = slices.DeleteFunc(f.catalogue, func(o Offer) bool { return o.Name == "Neighbourhood wiki" })
		})
		run(t, ctx, "gone", chromedp.WaitVisible("#found .empty", chromedp.ByQuery))
	})

	t.Run("invite", func(t *testing.T) {
		s := serve(t, citizen(14), nil)
		s.login(ctx, Admin, s.admin)
		for _, scheme := range []string{"light", "dark"} {
			var token string
			var shot []byte
			run(t, ctx, "invite", screenOf(1280, 900, scheme), chromedp.Navigate(s.url+"/invite"), chromedp.Click("button[value=invite]", chromedp.ByQuery),
				chromedp.WaitVisible(".qr svg", chromedp.ByQuery), chromedp.Value("#token-text", &token, chromedp.ByQuery),
				chromedp.ScreenshotScale(".qr", 2, &shot, chromedp.ByQuery))
			img, err := png.Decode(bytes.NewReader(shot))
			if err != nil {
				t.Fatal(err)
			}
			bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
			if err != nil {
				t.Fatal(err)
			}
			code, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
			if err != nil {
				t.Fatalf("the QR code cannot be read in the %s scheme: %v", scheme, err)
			}
			if code.GetText() != fakeToken || token != fakeToken {
				t.Errorf("the code says %q, the text %q", code.GetText(), token)
			}
		}
		run(t, ctx, "take back", chromedp.Click("button[value=cancel]", chromedp.ByQuery), chromedp.WaitVisible(".alert.good", chromedp.ByQuery))
	})

	t.Run("checks", func(t *testing.T) {
		in, out := serve(t, citizen(14), nil), serve(t, newcomer(), nil)
		look := func(s *site, path string) {
			for _, at := range []struct {
				width  int64
				scheme string
			}{{360, "light"}, {360, "dark"}, {1280, "light"}, {1280, "dark"}} {
				var wrong []string
				run(t, ctx, path, screenOf(at.width, 800, at.scheme), chromedp.Navigate(s.url+path), chromedp.WaitReady("main", chromedp.ByQuery), chromedp.Evaluate(checks, &wrong))
				for _, w := range wrong {
					t.Errorf("%s, %d pixels, %s: %s", path, at.width, at.scheme, w)
				}
			}
		}
		look(in, "/login")
		for _, s := range []*site{in, out} {
			s.login(ctx, Admin, s.admin)
			paths := []string{"/", "/stages", "/join", "/map"}
			if s == in {
				paths = []string{"/", "/stages", "/own", "/logs", "/map", "/services", "/members", "/member?name=" + s.node.members[4].Name, "/invite", "/account", "/reset", "/nothing", "/?lang=ca", "/services", "/invite", "/?lang=es", "/own", "/account", "/reset", "/stages", "/?lang=en"}
			}
			for _, path := range paths {
				look(s, path)
			}
		}
		// The checks can fail.
		var wrong []string
		run(t, ctx, "spoilt", chromedp.Navigate(out.url+"/join"), chromedp.Evaluate(`(()=>{
			document.querySelector("label").remove();
			document.querySelector("h1").insertAdjacentHTML("afterend", "<h4>x</h4><nav></nav><button></button>");
			let p = document.createElement("p"); p.textContent = "grey"; p.id = "main"; p.style.color = "#777"; document.querySelector("main").append(p);
			let w = document.createElement("div"); w.style.width = "3000px"; w.textContent = "wide"; document.querySelector("main").append(w);
		})()`, nil), chromedp.Evaluate(checks, &wrong))
		for _, want := range []string{"without a label", "level 4", "nameless navigation", "without a name", "contrast", "twice", "wide on a screen"} {
			if !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, want) }) {
				t.Errorf("the checks do not see %q: %q", want, wrong)
			}
		}
	})
}
