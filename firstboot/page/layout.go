package page

import (
	"errors"
)

func (v *view) document(x screen) part {
	body := v.body(x) // first: it says what is live
	title := v.lang.say(x.title)
	if v.facts.Host != "" {
		title += " · " + v.facts.Host
	}
	return el("html", attr("lang", languageTags[v.lang]), flag("data-live", len(v.lives) > 0),
		el("head",
			el(`meta charset="utf-8"`),
			el(`meta name="viewport" content="width=device-width, initial-scale=1"`),
			el(`meta name="color-scheme" content="light dark"`),
			el("title", text(title)),
			el(`link rel="icon" type="image/svg+xml"`, href(icon.url())),
			el(`link rel="stylesheet"`, href(styleSheet.url())),
			when(len(v.lives) > 0, el("script", attr("src", liveScript.url()), flag("defer", true))),
		),
		body,
	)
}

func (v *view) body(x screen) part {
	main := el(`main id="main" tabindex="-1"`, v.alerts(), x.show(v))
	brand := el(`a class="brand" href="/"`, v.logo(), el(`span class="brand-name"`, text("Cloudy")))
	if v.session == nil {
		return el(`body class="plain"`,
			el(`a class="skip" href="#main"`, v.say(mSkip)),
			el(`header class="top"`, brand, el(`span class="host"`, text(v.facts.Host)), v.languages()),
			main,
		)
	}
	return el("body",
		el(`a class="skip" href="#main"`, v.say(mSkip)),
		el(`header class="top"`, brand, el(`span class="host"`, text(v.facts.Host)),
			el(`a class="menu-open" href="#menu"`, v.icon("M3 6h14M3 10h14M3 14h14"), v.say(mMenu))),
		el(`div class="frame"`, v.menu(x), main),
		el(`footer class="foot"`, el("p", v.sayf(mFooter, v.facts.Name, v.facts.Version))),
	)
}

func (v *view) logo() part {
	return el(`svg class="logo" viewBox="0 0 32 32" aria-hidden="true"`,
		el(`rect class="logo-ground" width="32" height="32" rx="8"`),
		el(`path class="logo-line" d="M10 22a5 5 0 0 1-.6-9.96 7 7 0 0 1 13.3 1.5A4.3 4.3 0 0 1 22 22z"`),
		el(`path class="logo-line" d="M12.5 17h7"`),
		el(`circle class="logo-dot" cx="12.5" cy="17" r="1.7"`),
		el(`circle class="logo-dot" cx="19.5" cy="17" r="1.7"`),
	)
}

//go:noinline
func (v *view) icon(d string) part {
	return el(`svg class="icon" viewBox="0 0 20 20" aria-hidden="true"`, el("path", attr("d", d)))
}

// alerts are what went wrong with the form, and what was just done.
func (v *view) alerts() part {
	var out pile
	if v.problem != nil {
		var p *problem
		if errors.As(v.problem, &p) {
			out.add(el(`div class="alert bad" role="alert"`, el("p", v.sayf(p.message, p.args...))))
		} else {
			out.add(el(`div class="alert bad" role="alert"`, el("p", v.say(mFailedAct)), v.technical(v.problem.Error())))
		}
	}
	if v.session != nil {
		var n *notice
		v.s.sessions.with(v.session, func(x *session) { n, x.notice = x.notice, nil })
		if n != nil {
			out.add(el(`div class="alert good" role="status"`, el("p", v.sayf(n.message, n.args...))))
		}
	}
	return out.part()
}

// technical is what the agent says, in its own words, which are English.
//
//go:noinline
func (v *view) technical(s string) part {
	return el(`p class="technical" lang="en"`, text(s))
}

// heading begins a screen: its title and, below it, what it is about.
//
//go:noinline
func (v *view) heading(title, lead part) part {
	return el(`div class="heading"`, el("h1", title), when(lead != "", el(`p class="lead"`, lead)))
}

// card is a box with a title.
func (v *view) card(key string, title message, parts ...part) part {
	return el(`section class="card"`, attr("aria-labelledby", key), el("h2", id(key), v.say(title)), group(parts...))
}

// row is a name and what goes by it.
type row struct {
	title message
	value part
}

func (v *view) list(rows ...row) part {
	var out pile
	for _, r := range rows {
		if r.value == "" {
			continue
		}
		out.add(el("div", el("dt", v.say(r.title)), el("dd", r.value)))
	}
	return el(`dl class="facts"`, out.part())
}

// badge is a state in a word; the colour only repeats it.
//
//go:noinline
func badge(kind string, content part) part {
	return el("span", class("badge "+kind), content)
}

//go:noinline
func code(s string) part {
	if s == "" {
		return ""
	}
	return el("code", text(s))
}

// table is one that becomes a list of cards on a narrow screen. Styles take
// a table's meaning away from it there, so every role is said.
type table struct {
	v       *view
	caption message
	head    []message
	rows    pile
}

func (v *view) table(caption message, head ...message) *table {
	return &table{v: v, caption: caption, head: head}
}

func (t *table) row(cells ...part) {
	var row pile
	for i, c := range cells {
		row.add(el(`td role="cell"`, attr("data-title", t.v.lang.say(t.head[i])), c))
	}
	t.rows.add(el(`tr role="row"`, row.part()))
}

func (t *table) part() part {
	var head pile
	for _, h := range t.head {
		head.add(el(`th scope="col" role="columnheader"`, t.v.say(h)))
	}
	return el(`table class="table" role="table"`,
		el(`caption class="unseen"`, t.v.say(t.caption)),
		el(`thead role="rowgroup"`, el(`tr role="row"`, head.part())),
		el(`tbody role="rowgroup"`, t.rows.part()))
}

// empty is what stands where there is nothing yet, with what to do about it.
func (v *view) empty(drawing string, title, what message, parts ...part) part {
	return el(`div class="empty"`,
		el(`svg class="drawing" viewBox="0 0 20 20" aria-hidden="true"`, el("path", attr("d", drawing))),
		el(`p class="empty-title"`, v.say(title)), el("p", v.say(what)), group(parts...))
}

// token is the hidden field against forged requests.
func (v *view) token() part {
	if v.session == nil {
		return ""
	}
	return el(`input type="hidden" name="token"`, attr("value", v.session.csrf))
}

// formTo is a form that changes something.
func (v *view) formTo(action string, parts ...part) part {
	return el(`form method="post"`, attr("action", action), v.token(), group(parts...))
}

// field is an input with its label, and a hint that belongs to it.
func (v *view) field(key string, label message, hint part, input func(key part, described part) part) part {
	var described part
	if hint != "" {
		described = attr("aria-describedby", key+"-hint")
	}
	return el(`div class="field"`,
		el("label", attr("for", key), v.say(label)),
		input(id(key), described),
		when(hint != "", el(`p class="hint"`, id(key+"-hint"), hint)))
}

func (v *view) input(kind, field string, label message, hint part, more ...part) part {
	return v.field("f-"+field, label, hint, func(key, described part) part {
		return el("input", key, attr("name", field), attr("type", kind), described, group(more...))
	})
}

// choice is an option of a selection.
type choice struct {
	value string
	label string
}

func (v *view) selection(field string, label message, now string, choices ...choice) part {
	return v.field("f-"+field, label, "", func(key, described part) part {
		var list pile
		for _, c := range choices {
			list.add(el("option", attr("value", c.value), flag("selected", c.value == now), text(c.label)))
		}
		return el("select", key, attr("name", field), described, list.part())
	})
}

//go:noinline
func (v *view) submit(label message, kind string) part {
	return el("button", class(kind), v.say(label))
}

// adminOnly says to a guest why there is no form here.
func (v *view) adminOnly() part {
	return when(!v.admin(), el(`p class="hint"`, v.say(mAdminOnly)))
}
