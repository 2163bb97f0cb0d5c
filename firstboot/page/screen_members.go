package page

import (
	"cmp"
	"context"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

func (v *view) members() part {
	if !v.facts.Member {
		return group(v.heading(v.say(mMembers), ""), v.outside())
	}
	return group(
		v.heading(v.say(mMembers), v.say(mMembersLead)),
		el(`div id="members"`, v.live("members", v.memberTable())),
		when(v.admin() && v.facts.MayInvite, el("p", el(`a class="button primary" href="/invite"`, v.say(mInviteDo)))),
	)
}

func (v *view) memberTable() part {
	list := v.node().Members()
	rank := func(m *Member) string {
		switch {
		case m.Self:
			return "0"
		case m.Alive:
			return "1"
		}
		return "2"
	}
	sort.SliceStable(list, func(i, j int) bool {
		a, b := &list[i], &list[j]
		return rank(a)+a.Host+a.Name < rank(b)+b.Host+b.Name
	})
	t := v.table(mMembers, mMember, mState, mAddress, mLatency, mServices)
	for i := range list {
		m := &list[i]
		latency := v.latency(m.Latency)
		if latency == "" {
			latency = el(`span class="hint"`, v.say(mUnknown))
		}
		if m.Self {
			latency = ""
		}
		t.row(
			el("div", el("a", href("/member?name="+url.QueryEscape(m.Name)), el("strong", text(cmp.Or(m.Host, m.Name)))), el(`div class="hint"`, code(m.Name))),
			v.memberState(m), code(cmp.Or(m.Address4, m.Address6)), latency,
			el("a", href(here("/services", filter{host: m.Host}.query())), text(strconv.Itoa(m.Services)), el(`span class="unseen"`, text(" "), v.sayf(mServicesOf, m.Host))))
	}
	return group(
		el(`p class="hint"`, v.sayf(mAliveOf, v.facts.Alive, v.facts.Members)),
		t.part(),
	)
}

func (v *view) memberState(m *Member) part {
	switch {
	case m.Self:
		return badge("self", v.say(mThisNode))
	case m.Alive:
		return badge("good", v.say(mAlive))
	}
	return badge("off", v.say(mSilent))
}

func (v *view) findMember() *Member {
	name := cmp.Or(v.r.URL.Query().Get("name"), v.form("name"))
	list := v.node().Members()
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

func (v *view) member() part {
	m := v.findMember()
	if m == nil {
		return group(v.heading(v.say(mMember), ""),
			v.empty("M10 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM4 17c0-3.5 2.5-5 6-5s6 1.5 6 5", mNoSuchMember, mNoSuchMemberWhat, el("p", el(`a class="button" href="/members"`, v.say(mMembers)))))
	}
	role := mRoleNode
	switch {
	case m.Root:
		role = mRoleRoot
	case m.Inviter:
		role = mRoleInviter
	}
	var at pile
	for _, a := range m.At {
		at.add(el("div", code(a)))
	}
	var places part = at.part()
	if at.part() == "" {
		places = v.say(mBehindNAT)
	}
	var by part
	if !m.Root && m.By != "" {
		by = v.memberLink(m.By)
	}
	var offers pile
	catalogue := v.node().Catalogue()
	for i := range catalogue {
		o := &catalogue[i]
		if o.Node != m.Name {
			continue
		}
		var open part = el(`span class="hint"`, text(typeName(o.Type)))
		if l := o.link(); l != "" {
			open = el("a", href(l), attr("rel", "noreferrer"), v.say(kindOf(o.Type).action), el(`span class="unseen"`, text(" "+o.Name)))
		}
		offers.add(el("li", el("span", text(o.Name)), open))
	}
	var services part = el(`ul class="lines"`, offers.part())
	if offers.part() == "" {
		services = el(`p class="hint"`, v.say(mNothingOffered))
	}
	return group(
		v.heading(text(cmp.Or(m.Host, m.Name)), v.memberState(m)),
		el(`div class="cards"`,
			v.card("c-about", mAbout, el(`div id="about"`, v.live("about", v.list(
				row{mNodeName, code(m.Name)}, row{mAddress4, code(m.Address4)}, row{mAddress6, code(m.Address6)}, row{mOutside, places},
				row{mLatency, v.latency(m.Latency)}, row{mRole, v.say(role)}, row{mAdmitted, by}, row{mVersion, code(m.Version)})))),
			v.card("c-offers", mServices, services),
		),
		when(v.admin() && !m.Self && !m.Root, v.card("c-revoke", mRevoke,
			el("p", v.say(mRevokeWhat)),
			v.formTo("/member",
				el(`input type="hidden" name="name"`, attr("value", m.Name)),
				v.input("text", "reason", mReason, "", attr("value", v.form("reason")), attr("maxlength", "200")),
				v.check("subtree", mSubtree, v.form("subtree") != ""),
				v.check("sure", mSure, false),
				v.submit(mRevokeDo, "danger")))),
	)
}

// check is a box to tick.
func (v *view) check(field string, label message, on bool) part {
	return el(`div class="check"`,
		el("input", id("f-"+field), attr("type", "checkbox"), attr("name", field), attr("value", "yes"), flag("checked", on)),
		el("label", attr("for", "f-"+field), v.say(label)))
}

func (v *view) memberAct() (string, error) {
	if !v.admin() {
		return "", &problem{message: mAdminOnly, status: 403}
	}
	m := v.findMember()
	if m == nil {
		return "", fault(mNoSuchMember)
	}
	if v.form("sure") == "" {
		return "", fault(mTickSure)
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), actTimeout)
	defer cancel()
	reason := strings.Join(strings.Fields(v.form("reason")), " ")
	if err := v.node().Revoke(ctx, m.Name, reason, v.form("subtree") != ""); err != nil {
		return "", err
	}
	v.tell(mRevoked, cmp.Or(m.Host, m.Name))
	return "/members", nil
}
