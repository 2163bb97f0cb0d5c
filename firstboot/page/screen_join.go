package page

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"rsc.io/qr"
)

// lifetimes are what an invitation may be good for, in hours.
var lifetimes = []int{1, 24, 72, 168, 720}

const usualLifetime = 72

func (v *view) invite() part {
	if !v.facts.Member {
		return group(v.heading(v.say(mInvite), ""), v.outside())
	}
	head := v.heading(v.say(mInvite), v.say(mInviteLead))
	if !v.facts.MayInvite {
		return group(head, v.empty("M3 5h14v10H3zM3 6l7 5 7-5", mMayNotInvite, mMayNotInviteWhat))
	}
	var choices []choice
	for _, h := range lifetimes {
		choices = append(choices, choice{strconv.Itoa(h), v.lang.duration(time.Duration(h) * time.Hour)})
	}
	uses := v.form("uses")
	if uses == "" {
		uses = "1"
	}
	hours := v.form("hours")
	if hours == "" {
		hours = strconv.Itoa(usualLifetime)
	}
	var shown Invitation
	v.s.sessions.with(v.session, func(x *session) { shown = x.shown })
	var fresh part
	if shown.Token != "" && v.r.URL.Query().Get("show") == shown.ID {
		fresh = v.invitation(shown)
	}
	return group(
		head, v.applicants(), fresh,
		v.card("c-new", mInviteNew, v.formTo("/invite",
			el(`div class="fields"`,
				v.selection("hours", mGoodFor, hours, choices...),
				v.input("number", "uses", mUses, v.say(mUsesHint), attr("value", uses), attr("min", "1"), attr("max", "10000"), flag("required", true))),
			v.check("inviter", mMayInviteToo, v.form("inviter") != ""),
			v.check("approve", mApproveFirst, v.form("approve") != ""),
			el(`button class="primary" name="do" value="invite"`, v.say(mInviteDo)))),
		v.card("c-given", mGivenOut, v.invitations()),
	)
}

// applicants are the nodes that wait to be let in.
func (v *view) applicants() part {
	list := v.node().Waiting()
	if len(list) == 0 {
		return ""
	}
	t := v.table(mApplicants, mMember, mNodeName, mSinceWhen, mAction)
	for i := range list {
		a := &list[i]
		t.row(el("strong", text(a.Host)), code(a.Name), v.ago(a.Since), v.formTo("/invite",
			el(`input type="hidden" name="id"`, attr("value", a.Name)),
			el(`div class="pair"`,
				el(`button class="primary" name="do" value="approve"`, v.say(mApprove), el(`span class="unseen"`, text(" "+a.Host))),
				el(`button name="do" value="deny"`, v.say(mDeny), el(`span class="unseen"`, text(" "+a.Host))))))
	}
	return v.card("c-waiting", mApplicants, el(`p class="hint"`, v.say(mApplicantsWhat)), t.part())
}

// invitation shows a new one: as a code to scan, as a line to copy.
func (v *view) invitation(i Invitation) part {
	code, err := drawQR(i.Token)
	var drawing part = code
	if err != nil {
		drawing = ""
	}
	return el(`section class="card fresh" aria-labelledby="c-fresh"`,
		el(`h2 id="c-fresh"`, v.say(mInvitationReady)),
		el("p", text(v.lang.count(mGoodNodes, i.Uses)), text(" "), v.say(mUntil), text(" "), v.ago(i.Expires), text(".")),
		el(`div class="ticket"`,
			el(`div class="qr" role="img"`, attr("aria-label", v.lang.say(mQRLabel)), drawing),
			el(`div class="ticket-text"`,
				el(`label for="token-text"`, v.say(mTokenLabel)),
				el(`textarea id="token-text" class="mono" readonly rows="7" spellcheck="false"`, text(i.Token)),
				el(`p class="hint"`, v.say(mTokenWhat)),
				el(`p class="hint"`, v.say(mTokenSecret)))))
}

// drawQR draws a code (ISO/IEC 18004) with the quiet zone that readers need,
// dark on light in any colour scheme. The lowest level of correction makes
// the largest dots: screens have no stains.
func drawQR(s string) (part, error) {
	c, err := qr.Encode(s, qr.L)
	if err != nil {
		return "", fmt.Errorf("QR code: %w", err)
	}
	const zone = 4
	var d strings.Builder
	for y := range c.Size {
		for x := 0; x < c.Size; x++ {
			n := 0
			for x+n < c.Size && c.Black(x+n, y) {
				n++
			}
			if n > 0 {
				fmt.Fprintf(&d, "M%d %dh%dv1h-%dz", x, y, n, n)
				x += n
			}
		}
	}
	side := strconv.Itoa(c.Size + 2*zone)
	return el("svg", attr("viewBox", fmt.Sprintf("-%d -%d %s %s", zone, zone, side, side)), attr("shape-rendering", "crispEdges"), attr("aria-hidden", "true"),
		el(`rect x="-4" y="-4"`, attr("width", side), attr("height", side), attr("fill", "#fff")),
		el("path", attr("d", d.String()), attr("fill", "#000"))), nil
}

func (v *view) invitations() part {
	list := slices.Clone(v.node().Invitations())
	if len(list) == 0 {
		return el(`p class="hint"`, v.say(mNoInvitations))
	}
	slices.Reverse(list) // the newest first
	now := v.s.o.Now()
	t := v.table(mGivenOut, mInvitation, mState, mUsed, mBy, mAction)
	for _, i := range list {
		open := !i.Cancelled && len(i.Used) < i.Uses && now.Before(i.Expires)
		var state part
		switch {
		case i.Cancelled:
			state = badge("off", v.say(mTakenBack))
		case len(i.Used) >= i.Uses:
			state = badge("off", v.say(mUsedUp))
		case !open:
			state = badge("off", v.say(mExpired))
		default:
			state = group(badge("good", v.say(mOpenState)), text(" "), el(`span class="hint"`, v.ago(i.Expires)))
		}
		var by part = el(`span class="hint"`, v.say(mNobody))
		if len(i.Used) > 0 {
			by = text(strings.Join(i.Used, ", "))
		}
		var cancel part
		if open {
			cancel = v.formTo("/invite",
				el(`input type="hidden" name="id"`, attr("value", i.ID)),
				el(`button name="do" value="cancel"`, v.say(mTakeBack), el(`span class="unseen"`, text(" "+i.ID))))
		}
		role := mRoleNode
		if i.Inviter {
			role = mRoleInviter
		}
		t.row(group(code(i.ID), el(`div class="hint"`, v.say(role))), state, v.sayf(mUsedOf, len(i.Used), i.Uses), by, cancel)
	}
	return t.part()
}

func (v *view) inviteAct() (string, error) {
	ctx, cancel := context.WithTimeout(v.r.Context(), actTimeout)
	defer cancel()
	switch do := v.form("do"); do {
	case "approve", "deny":
		if err := v.node().Decide(ctx, v.form("id"), do == "approve"); err != nil {
			return "", err
		}
		if do == "approve" {
			v.tell(mApproved)
		} else {
			v.tell(mDenied)
		}
		return "/invite", nil
	case "cancel":
		if err := v.node().Cancel(ctx, v.form("id")); err != nil {
			return "", err
		}
		v.tell(mCancelled)
		return "/invite", nil
	}
	uses, err := strconv.Atoi(v.form("uses"))
	if err != nil || uses < 1 || uses > 10000 {
		return "", fault(mBadUses)
	}
	hours, err := strconv.Atoi(v.form("hours"))
	if err != nil || !slices.Contains(lifetimes, hours) {
		return "", fault(mBadForm)
	}
	i, err := v.node().Invite(ctx, InviteRequest{Lifetime: time.Duration(hours) * time.Hour, Uses: uses, Inviter: v.form("inviter") != "", Approve: v.form("approve") != ""})
	switch {
	case errors.Is(err, ErrMayNotInvite):
		return "", fault(mMayNotInvite)
	case errors.Is(err, ErrNotMember):
		return "", fault(mNotInMesh)
	case err != nil:
		return "", err
	}
	v.s.sessions.with(v.session, func(x *session) { x.shown = i })
	return "/invite?show=" + i.ID, nil
}

func (v *view) join() part {
	head := v.heading(v.say(mJoin), v.say(mJoinLead))
	if v.facts.Member {
		return group(v.heading(v.say(mJoin), ""),
			v.empty("M5 10.5 8.5 14 15 7", mAlreadyIn, mAlreadyInWhat, el("p", el(`a class="button" href="/stages"`, v.say(mStages)))))
	}
	return group(
		head,
		v.statusBox(),
		v.adminOnly(),
		when(v.admin(), v.card("c-join", mJoinWith, v.formTo("/join",
			v.field("f-invitation", mInvitation, v.say(mJoinHint), func(key, described part) part {
				return el("textarea", key, class("mono"), attr("name", "invitation"), attr("rows", "6"), attr("spellcheck", "false"), attr("autocomplete", "off"),
					attr("autocapitalize", "off"), flag("required", true), described, text(v.form("invitation")))
			}),
			v.submit(mJoinDo, "primary")))),
	)
}

func (v *view) joinAct() (string, error) {
	if !v.admin() {
		return "", &problem{message: mAdminOnly, status: 403}
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), actTimeout)
	defer cancel()
	err := v.node().Join(ctx, v.form("invitation"))
	switch {
	case errors.Is(err, ErrNoInvitation):
		return "", fault(mNoInvitationThere)
	case errors.Is(err, ErrAlreadyMember):
		return "", fault(mAlreadyIn)
	case err != nil:
		return "", err
	}
	v.tell(mJoining)
	return "/stages", nil
}
