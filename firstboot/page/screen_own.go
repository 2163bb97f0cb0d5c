package page

import (
	"context"
	"strconv"
	"strings"
	"time"

	"cloudy/firstboot/nodeconfig"
)

func (s Service) title() string {
	if s.Description != "" {
		return s.Description
	}
	return s.Name
}

func (v *view) serviceState(s Service) part {
	switch {
	case !s.On:
		return badge("off", v.say(mOff))
	case !s.Checked:
		return badge("busy", v.say(mStarting))
	case s.Up:
		return badge("good", v.say(mUp))
	}
	return badge("bad", v.say(mDown))
}

func (v *view) ownCount() (up, on int) {
	for _, s := range v.node().Services() {
		if s.On && !s.Manual {
			on++
			if s.Up {
				up++
			}
		}
	}
	return up, on
}

func (v *view) own() part {
	list := v.node().Services()
	var body part
	if len(list) == 0 {
		body = v.empty("M4 4h12v5H4zM4 11h12v5H4zM7 6.5h.01M7 13.5h.01", mNoServices, mNoServicesWhat)
	} else {
		var rows pile
		for i, s := range list {
			rows.add(v.ownService(i, s))
		}
		body = el(`ul class="services"`, rows.part())
	}
	return group(
		v.heading(v.say(mOwn), v.say(mOwnLead)),
		v.adminOnly(),
		body,
		when(v.admin(), v.card("c-publish", mPublish,
			el(`p class="hint"`, v.say(mPublishWhat)),
			v.formTo("/own", el(`div class="fields"`,
				v.input("text", "title", mServiceName, "", attr("value", v.form("title")), attr("maxlength", "63"), flag("required", true)),
				v.input("text", "type", mServiceType, v.say(mServiceTypeHint), attr("value", v.form("type")), attr("placeholder", "_http._tcp"), flag("required", true),
					attr("pattern", `_[A-Za-z0-9][A-Za-z0-9\-]*\._(tcp|udp)`)),
				v.input("number", "port", mPort, "", attr("value", v.form("port")), attr("min", "1"), attr("max", "65535"), flag("required", true))),
				el(`button class="primary" name="do" value="publish"`, v.say(mPublishDo))))),
	)
}

func (v *view) ownService(i int, s Service) part {
	n := "own-" + strconv.Itoa(i)
	var about pile
	if s.Type != "" {
		about.add(code(s.Type), text(" "), v.sayf(mPortN, s.Port))
	}
	do, label, kind := "on", mTurnOn, "primary"
	switch {
	case s.Manual:
		do, label, kind = "unpublish", mUnpublish, ""
	case s.On:
		do, label, kind = "off", mTurnOff, ""
	}
	var state pile
	state.add(v.serviceState(s))
	if s.Problem != "" && s.On && !s.Up {
		state.add(v.technical(s.Problem))
	}
	return el(`li class="service"`,
		el(`div class="service-text"`, el("h2", id(n), text(s.title())), el(`p class="hint"`, about.part()),
			el("div", id(n+"-state"), v.live(n+"-state", state.part()))),
		when(v.admin(), v.formTo("/own",
			el(`input type="hidden" name="service"`, attr("value", s.Name)),
			el(`input type="hidden" name="kind"`, attr("value", s.Type)),
			el("button", class(kind), attr("name", "do"), attr("value", do), attr("aria-describedby", n), v.say(label)))))
}

// actTimeout bounds what a form waits for.
const actTimeout = 30 * time.Second

func (v *view) ownAct() (string, error) {
	if !v.admin() {
		return "", &problem{message: mAdminOnly, status: 403}
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), actTimeout)
	defer cancel()
	name := v.form("service")
	switch do := v.form("do"); do {
	case "on", "off":
		if err := v.node().Switch(ctx, name, do == "on"); err != nil {
			return "", err
		}
		if do == "on" {
			v.tell(mTurnedOn, name)
		} else {
			v.tell(mTurnedOff, name)
		}
	case "publish":
		port, err := strconv.Atoi(v.form("port"))
		if err != nil || port < 1 || port > 65535 {
			return "", fault(mBadPort)
		}
		a := Announcement{Name: v.form("title"), Type: v.form("type"), Port: port}
		if !nodeconfig.ValidServiceType(a.Type) {
			return "", fault(mBadType)
		}
		if a.Name == "" || strings.ContainsAny(a.Name, "\n\r") {
			return "", fault(mBadName)
		}
		if err := v.node().Publish(ctx, a); err != nil {
			return "", err
		}
		v.tell(mPublished, a.Name)
	case "unpublish":
		if err := v.node().Unpublish(ctx, Announcement{Name: name, Type: v.form("kind")}); err != nil {
			return "", err
		}
		v.tell(mUnpublished, name)
	default:
		return "", fault(mBadForm)
	}
	return "/own", nil
}
