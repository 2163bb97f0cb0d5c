package page

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

func (v *view) login() part {
	if v.session != nil {
		return group(v.heading(v.say(mLogin), ""), el("p", v.sayf(mLoggedInAs, v.session.account)), el("p", el(`a class="button" href="/"`, v.say(mBackHome))))
	}
	hint := v.say(mPasswordWhere)
	if v.s.o.Demo {
		hint = group(v.say(mDemo), text(" "), hint)
	}
	account := cmp.Or(v.form("account"), Admin)
	return el(`div class="door"`,
		el(`div class="door-head"`, v.logo(), el("h1", text(cmp.Or(v.facts.Host, "Cloudy"))), el(`p class="lead"`, v.say(mLoginLead))),
		el(`form class="card" method="post" action="/login"`,
			el(`input type="hidden" name="to"`, attr("value", cmp.Or(v.r.URL.Query().Get("to"), v.form("to")))),
			v.field("f-account", mAccountName, "", func(key, described part) part {
				return el("input", key, attr("name", "account"), attr("type", "text"), attr("value", account), attr("autocomplete", "username"),
					attr("autocapitalize", "off"), attr("spellcheck", "false"), flag("required", true), described)
			}),
			v.input("password", "password", mPassword, hint, attr("autocomplete", "current-password"), flag("required", true), flag("autofocus", true)),
			v.submit(mLoginDo, "primary wide")),
		el(`p class="hint fingerprint"`, v.say(mFingerprint), text(" "), el("code", text(v.s.o.Credentials.Fingerprint()))))
}

func (v *view) loginAct() (string, error) {
	s := v.s
	from, account := peer(v.r), v.form("account")
	if wait, ok := s.limits.guess(from, account); !ok {
		v.w.Header().Set("Retry-After", "20")
		return "", &problem{message: mTooMany, args: []any{v.lang.duration(wait + 1e9)}, status: http.StatusTooManyRequests}
	}
	// Not trimmed: a password may begin with a blank.
	ok, err := s.o.Credentials.Check(account, v.r.PostForm.Get("password"))
	if err != nil {
		return "", err
	}
	if !ok {
		s.o.Log.Warn("page: wrong password", "from", from)
		return "", &problem{message: mWrongPassword, status: http.StatusUnauthorized}
	}
	s.limits.right(from, account)
	if t := sessionToken(v.r); t != "" {
		s.sessions.end(t)
	}
	s.setSession(v.w, v.r, s.sessions.begin(account), 0)
	s.o.Log.Info("page: login", "account", account, "from", from)
	return afterLogin(v.form("to")), nil
}

// afterLogin is where to go after the login: a place on this page.
func afterLogin(to string) string {
	if !strings.HasPrefix(to, "/") || safeURL(to) != to || strings.HasPrefix(to, "/log") && !strings.HasPrefix(to, "/logs") {
		return "/"
	}
	return to
}

func (v *view) logoutAct() (string, error) {
	// Without a session there is nothing that a forged request could end.
	if v.session != nil {
		if !v.session.valid(v.r) {
			return "", &problem{message: mForged, status: http.StatusForbidden}
		}
		v.s.sessions.end(sessionToken(v.r))
	}
	v.s.setSession(v.w, v.r, "", -1)
	return "/login", nil
}

func (v *view) account() part {
	if !v.admin() {
		return group(v.heading(v.say(mAccount), v.sayf(mLoggedInAs, v.session.account)), v.adminOnly())
	}
	secret := func(field string, label message, hint part, complete string) part {
		return v.input("password", field, label, hint, attr("autocomplete", complete), flag("required", true), attr("maxlength", "200"))
	}
	of := cmp.Or(v.form("of"), Admin)
	return group(
		v.heading(v.say(mAccount), v.sayf(mLoggedInAs, v.session.account)),
		v.card("c-password", mChangePassword, v.formTo("/account",
			v.selection("of", mAccountName, of, choice{Admin, v.lang.say(mAdminName)}, choice{Guest, v.lang.say(mGuestName)}),
			secret("now", mPasswordNow, v.say(mPasswordNowHint), "current-password"),
			secret("new", mPasswordNew, v.sayf(mPasswordNewHint, minPassword), "new-password"),
			secret("again", mPasswordAgain, "", "new-password"),
			v.submit(mChangePassword, "primary"))),
		v.card("c-certificate", mCertificate, el("p", v.say(mCertificateWhat)), el("p", el("code", text(v.s.o.Credentials.Fingerprint())))),
	)
}

func (v *view) accountAct() (string, error) {
	if !v.admin() {
		return "", &problem{message: mAdminOnly, status: 403}
	}
	f := v.r.PostForm
	of, now, fresh := f.Get("of"), f.Get("now"), f.Get("new")
	switch {
	case of != Admin && of != Guest:
		return "", fault(mBadForm)
	case utf8.RuneCountInString(fresh) < minPassword:
		return "", fault(mPasswordShort, minPassword)
	case len(fresh) > maxPassword:
		return "", fault(mPasswordLong)
	case fresh != f.Get("again"):
		return "", fault(mPasswordsDiffer)
	}
	from := peer(v.r)
	if wait, ok := v.s.limits.guess(from, Admin); !ok {
		return "", &problem{message: mTooMany, args: []any{v.lang.duration(wait + 1e9)}, status: http.StatusTooManyRequests}
	}
	ok, err := v.s.o.Credentials.Check(Admin, now)
	if err != nil {
		return "", err
	}
	if !ok {
		return "", fault(mWrongPassword)
	}
	v.s.limits.right(from, Admin)
	if err := v.s.o.Credentials.Set(of, fresh); err != nil {
		return "", err
	}
	v.s.sessions.endAll(of, v.session)
	v.s.o.Log.Info("page: password changed", "account", of, "from", from)
	v.tell(mPasswordChanged)
	return "/account", nil
}

// resetWords are a kind's name and what it does.
var resetWords = []struct {
	kind        ResetKind
	title, what message
}{
	{ResetMesh, mResetMesh, mResetMeshWhat},
	{ResetServices, mResetServices, mResetServicesWhat},
	{ResetIdentity, mResetIdentity, mResetIdentityWhat},
	{ResetFactory, mResetFactory, mResetFactoryWhat},
}

func (v *view) reset() part {
	now := ResetKind(v.form("kind"))
	var list pile
	kinds := v.node().Resets()
	for i := range resetWords {
		w := &resetWords[i]
		k := w.kind
		if !slices.Contains(kinds, k) {
			continue
		}
		key := "kind-" + string(k)
		list.add(el(`div class="option"`,
			el("input", id(key), attr("type", "radio"), attr("name", "kind"), attr("value", string(k)), flag("checked", k == now || now == "" && k == kinds[0]), attr("aria-describedby", key+"-what")),
			el("div", el("label", attr("for", key), v.say(w.title)), el(`p class="hint"`, id(key+"-what"), v.say(w.what)))))
	}
	return group(
		v.heading(v.say(mReset), v.say(mResetLead)),
		el(`div class="card"`, v.formTo("/reset",
			el("fieldset", el("legend", v.say(mResetHow)), list.part()),
			v.input("text", "host", mResetConfirm, v.sayf(mResetConfirmHint, v.facts.Host), attr("autocomplete", "off"), attr("autocapitalize", "off"), flag("required", true)),
			v.submit(mResetDo, "danger"))),
	)
}

func (v *view) resetAct() (string, error) {
	kind := ResetKind(v.form("kind"))
	if !slices.Contains(v.node().Resets(), kind) {
		return "", fault(mBadForm)
	}
	if v.form("host") != v.facts.Host {
		return "", fault(mResetNotSure, v.facts.Host)
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), actTimeout)
	defer cancel()
	if err := v.node().Reset(ctx, kind); err != nil {
		return "", err
	}
	v.tell(mResetBegun)
	return "/stages", nil
}
