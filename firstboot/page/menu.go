package page

import (
	"net/url"
	"strings"
)

// item is an entry of the menu.
type item struct {
	path  string
	title message
	icon  string // an SVG path in a field of 20 by 20
	show  func(*view) bool
}

type section struct {
	title message
	items []item
}

func inMesh(v *view) bool { return v.facts.Member }

func notInMesh(v *view) bool { return !v.facts.Member }

func isAdmin(v *view) bool { return v.admin() }

var menu = []section{
	{mThisNode, []item{
		{"/", mOverview, "M3 10 10 4l7 6M5 9v7h10V9", nil},
		{"/stages", mStages, "M4 5l1.5 1.5L8 4M4 10.5l1.5 1.5L8 9.5M4 16l1.5 1.5L8 15M11 5.5h6M11 11h6M11 16.5h6", nil},
		{"/own", mOwn, "M4 4h12v5H4zM4 11h12v5H4zM7 6.5h.01M7 13.5h.01", nil},
		{"/logs", mLogs, "M5 3h10v14H5zM8 7h4M8 10h4M8 13h2", nil},
	}},
	{mMesh, []item{
		{"/map", mMap, "M10 10 5 5M10 10l6-3M10 10l-3 6M10 10m-2 0a2 2 0 1 0 4 0 2 2 0 1 0-4 0M4 4h.01M16.5 6.5h.01M6.5 16.5h.01", inMesh},
		{"/services", mCatalogue, "M6 15a4 4 0 0 1-.5-7.97 5.5 5.5 0 0 1 10.5 1.2A3.5 3.5 0 0 1 15.5 15z", inMesh},
		{"/members", mMembers, "M7 9a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM2.5 16c0-3 2-4.5 4.5-4.5s4.5 1.5 4.5 4.5M13 9a2 2 0 1 0 0-4M14 11.5c2 0 3.5 1.5 3.5 4", inMesh},
		{"/invite", mInvite, "M3 5h14v10H3zM3 6l7 5 7-5", func(v *view) bool { return inMesh(v) && isAdmin(v) }},
		{"/join", mJoin, "M9 4h7v12H9M3 10h9M9 7l3 3-3 3", func(v *view) bool { return notInMesh(v) }},
	}},
	{mSettings, []item{
		{"/account", mAccount, "M10 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM4 17c0-3.5 2.5-5 6-5s6 1.5 6 5", nil},
		{"/reset", mReset, "M5 8a6 6 0 1 1-1 4M4 4v4h4", isAdmin},
	}},
}

func (v *view) menu(at screen) part {
	var list pile
	for i, s := range menu {
		var items pile
		for _, x := range s.items {
			if x.show != nil && !x.show(v) {
				continue
			}
			var current part
			if x.path == strings.TrimSuffix(at.path, "{$}") || (x.path != "/" && strings.HasPrefix(at.path, x.path+"/")) {
				current = attr("aria-current", "page")
			}
			items.add(el("li", el("a", href(x.path), current, v.icon(x.icon), v.say(x.title))))
		}
		key := "menu-" + string(rune('a'+i))
		list.add(el("h2", id(key), v.say(s.title)), el("ul", attr("aria-labelledby", key), items.part()))
	}
	return el(`nav id="menu" class="menu"`, attr("aria-label", v.lang.say(mMenu)), attr("tabindex", "-1"),
		el(`a class="menu-close" href="#main"`, v.icon("M5 5l10 10M15 5 5 15"), v.say(mClose)),
		list.part(),
		el(`div class="menu-end"`,
			el(`form method="post" action="/logout"`, v.token(),
				el(`span class="who"`, el(`span class="unseen"`, v.sayf(mLoggedInAs, v.session.account)), el(`span aria-hidden="true"`, text(v.session.account))),
				el(`button class="quiet"`, v.say(mLogout))),
			v.languages(),
		),
	)
}

// languages links to the same page in the others.
func (v *view) languages() part {
	var list pile
	for l := range languages {
		q := url.Values{}
		path := "/"
		if v.r.Method == "GET" {
			q, path = v.r.URL.Query(), v.r.URL.Path
		} else if v.session == nil {
			path = "/login"
		}
		q.Set("lang", languageTags[l])
		var current part
		if l == v.lang {
			current = attr("aria-current", "true")
		}
		list.add(el("li", el("a", href(here(path, q)), attr("lang", languageTags[l]), attr("hreflang", languageTags[l]), current,
			attr("title", languageNames[l]), text(languageNames[l]))))
	}
	return el(`ul class="languages"`, attr("aria-label", v.lang.say(mLanguage)), list.part())
}
