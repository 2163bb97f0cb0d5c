package page

import (
	"strings"
	"time"
)

// screens returns all there are.
func screens() []screen {
	return []screen{
		{path: "/{$}", title: mOverview, show: (*view).overview},
		{path: "/stages", title: mStages, show: (*view).stages},
		{path: "/own", title: mOwn, show: (*view).own, act: (*view).ownAct},
		{path: "/logs", title: mLogs, show: (*view).logs},
		{path: "/map", title: mMap, show: (*view).mesh},
		{path: "/services", title: mCatalogue, show: (*view).catalogue},
		{path: "/members", title: mMembers, show: (*view).members},
		{path: "/member", title: mMember, show: (*view).member, act: (*view).memberAct},
		{path: "/invite", title: mInvite, admin: true, show: (*view).invite, act: (*view).inviteAct},
		{path: "/join", title: mJoin, show: (*view).join, act: (*view).joinAct},
		{path: "/account", title: mAccount, show: (*view).account, act: (*view).accountAct},
		{path: "/reset", title: mReset, admin: true, show: (*view).reset, act: (*view).resetAct},
		{path: "/login", title: mLogin, open: true, show: (*view).login, act: (*view).loginAct},
		{path: "/logout", title: mLogout, open: true, show: (*view).login, act: (*view).logoutAct},
	}
}

// stageWords are the stages' names and what they are for.
var stageWords = []struct {
	stage       string
	title, what message
}{
	{"identity", mStageIdentity, mStageIdentityWhat},
	{"network", mStageNetwork, mStageNetworkWhat},
	{"join", mStageJoin, mStageJoinWhat},
	{"mesh", mStageMesh, mStageMeshWhat},
	{"discover", mStageDiscover, mStageDiscoverWhat},
	{"services", mStageServices, mStageServicesWhat},
	{"announce", mStageAnnounce, mStageAnnounceWhat},
}

// stageSay returns a stage's name and what it is for; of one that is not
// known here, the name that the agent has for it.
func stageSay(s *Stage) (title, what message) {
	for i := range stageWords {
		if w := &stageWords[i]; w.stage == s.Name {
			return w.title, w.what
		}
	}
	return &words{s.Name, s.Name, s.Name}, &words{}
}

// stateWords are the states' names, looks and signs.
var stateWords = []struct {
	state string
	title message
	kind  string
	sign  string // an SVG path
}{
	{Pending, mStatePending, "off", "M10 10h.01"},
	{Running, mStateRunning, "busy", "M10 4a6 6 0 1 1-6 6"},
	{Done, mStateDone, "good", "M5 10.5 8.5 14 15 7"},
	{Waiting, mStateWaiting, "warn", "M10 6v4.5l3 2"},
	{Failed, mStateFailed, "bad", "M10 5v6M10 14.5h.01"},
	{Refused, mStateRefused, "bad", "M6 6l8 8M14 6l-8 8"},
}

// stateSay returns a state's name, look and sign.
func (v *view) stateSay(s *Stage) (title part, kind string, sign part) {
	for i := range stateWords {
		if w := &stateWords[i]; w.state == s.State {
			return v.say(w.title), w.kind, v.icon(w.sign)
		}
	}
	return text(s.State), "off", ""
}

// current is the stage that everything waits for; ok is false when all are done.
func (f *Facts) current() (Stage, bool) {
	for _, s := range f.Stages {
		if s.State != Done {
			return s, true
		}
	}
	return Stage{}, false
}

// condition is how the node is, in a sentence, and its look.
func (v *view) condition() (kind string, sentence part) {
	f := &v.facts
	s, open := f.current()
	name, _ := stageSay(&s)
	title := v.lang.say(name)
	switch {
	case !open && f.Member && f.Members == 1:
		return "good", v.sayf(mInMeshAlone, f.Network)
	case !open && f.Member:
		return "good", v.sayf(mInMesh, f.Network, f.Alive, f.Members)
	case s.Name == "network" && s.State == Waiting:
		return "warn", v.say(mNoNetwork)
	case s.Name == "join" && s.State == Waiting && f.Asked:
		return "busy", v.say(mAsked)
	case s.Name == "join" && s.State == Waiting:
		return "warn", v.say(mNoInvitation)
	case s.Name == "join" && s.State == Refused && f.Member:
		return "bad", v.say(mPutOut)
	case s.Name == "join" && s.State == Refused:
		return "bad", v.say(mJoinRefused)
	case s.State == Failed, s.State == Refused:
		return "bad", v.sayf(mStageStuck, title)
	case s.State == Waiting:
		return "warn", v.sayf(mStageWaits, title)
	}
	return "busy", v.sayf(mOnItsWay, title)
}

// status is the sentence with its sign, and what to do next.
func (v *view) status() part {
	kind, sentence := v.condition()
	return group(
		el("span", class("sign "+kind), attr("aria-hidden", "true")),
		el(`p class="status-text"`, sentence),
	)
}

// copies says that this system is one of two. What a copy must do it has done
// when it is a member.
func (v *view) copies() part {
	return group(
		when(v.facts.Cloned && !v.facts.Member, el(`div class="alert warn"`, el("p", v.say(mCloned)))),
		when(v.facts.Doubled, el(`div class="alert warn"`, el("p", v.say(mDoubled)))),
	)
}

func (v *view) statusBox() part {
	return el(`div id="status" class="status" role="status"`, v.live("status", v.status()))
}

func (v *view) stages() part {
	return group(
		v.heading(v.say(mStages), v.say(mStagesLead)),
		v.statusBox(),
		v.copies(),
		el(`ol id="stages" class="stages"`, v.live("stages", v.stageList())),
	)
}

func (v *view) stageList() part {
	var out pile
	now := v.s.o.Now()
	for i := range v.facts.Stages {
		s := &v.facts.Stages[i]
		title, what := stageSay(s)
		state, kind, sign := v.stateSay(s)
		var since, problem part
		if !s.Since.IsZero() && s.State != Pending {
			since = v.sayf(mSince, v.lang.duration(now.Sub(s.Since)))
		}
		if s.Error != "" && s.State != Done {
			problem = v.technical(s.Error)
		}
		if s.State == Failed && !s.Next.IsZero() {
			problem = group(problem, el(`p class="hint"`, v.sayf(mAttempts, s.Attempts, v.lang.duration(s.Next.Sub(now)))))
		}
		out.add(el("li", class("stage "+kind),
			el(`span class="stage-sign" aria-hidden="true"`, sign),
			el(`div class="stage-body"`,
				el(`div class="stage-head"`, el("h2", v.say(title)), badge(kind, state), el(`span class="hint"`, since)),
				el("p", v.say(what)),
				v.stageDetail(s), problem)))
	}
	return out.part()
}

// stageDetail is what a finished stage came to.
func (v *view) stageDetail(s *Stage) part {
	f := &v.facts
	var p part
	switch {
	case s.Name == "identity" && f.Name != "":
		p = group(text(f.Host), text(" · "), code(f.Name))
	case s.State == Waiting && s.Name == "join" && f.Asked:
		p = v.say(mAsked)
	case s.State == Waiting && s.Name == "join":
		return el(`p class="detail"`, v.say(mNoInvitation), text(" "), el(`a href="/join"`, v.say(mJoin)))
	case s.State == Waiting && s.Name == "network":
		p = v.say(mNoNetwork)
	case s.State != Done:
		return ""
	case s.Name == "network":
		p = code(strings.Join(f.Addresses, "  "))
	case s.Name == "join" && f.Inviter != "":
		p = v.sayf(mAdmittedBy, f.Network, v.hostOf(f.Inviter))
	case s.Name == "join":
		p = v.sayf(mFounder, f.Network)
	case s.Name == "mesh":
		p = text(v.lang.count(mLinksCount, len(f.Links)))
	case s.Name == "discover":
		p = v.sayf(mAliveOf, f.Alive, f.Members)
	case s.Name == "services":
		up, on := v.ownCount()
		p = v.sayf(mUpOf, up, on)
	}
	if p == "" {
		return ""
	}
	return el(`p class="detail"`, p)
}

// steps are the stages in small, for the overview.
func (v *view) steps() part {
	var out pile
	for i := range v.facts.Stages {
		s := &v.facts.Stages[i]
		title, _ := stageSay(s)
		state, kind, sign := v.stateSay(s)
		out.add(el("li", class("step "+kind),
			el(`span class="stage-sign" aria-hidden="true"`, sign),
			el(`span class="step-name"`, v.say(title)),
			el(`span class="unseen"`, ": ", state)))
	}
	return out.part()
}

// ago is a time as a reader far from its clock understands it.
func (v *view) ago(t time.Time) part {
	d := v.s.o.Now().Sub(t)
	if d < 0 {
		return el("time", attr("datetime", t.UTC().Format(time.RFC3339)), v.sayf(mIn, v.lang.duration(-d)))
	}
	return el("time", attr("datetime", t.UTC().Format(time.RFC3339)), v.sayf(mAgo, v.lang.duration(d)))
}
