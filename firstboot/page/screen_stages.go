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

// stageWords are a stage's name and what it is for.
var stageWords = map[string][2]message{
	"identity": {mStageIdentity, mStageIdentityWhat},
	"network":  {mStageNetwork, mStageNetworkWhat},
	"join":     {mStageJoin, mStageJoinWhat},
	"mesh":     {mStageMesh, mStageMeshWhat},
	"discover": {mStageDiscover, mStageDiscoverWhat},
	"services": {mStageServices, mStageServicesWhat},
	"announce": {mStageAnnounce, mStageAnnounceWhat},
}

var stateWords = map[string]message{
	Pending: mStatePending, Running: mStateRunning, Done: mStateDone, Waiting: mStateWaiting, Failed: mStateFailed, Refused: mStateRefused,
}

// stateKinds are the looks of states.
var stateKinds = map[string]string{Pending: "off", Running: "busy", Done: "good", Waiting: "warn", Failed: "bad", Refused: "bad"}

func (v *view) stageName(s Stage) part {
	if w, ok := stageWords[s.Name]; ok {
		return v.say(w[0])
	}
	return text(s.Name)
}

func (v *view) stageState(s Stage) part {
	w, ok := stateWords[s.State]
	if !ok {
		return text(s.State)
	}
	return v.say(w)
}

// current is the stage that everything waits for; ok is false when all are done.
func (f Facts) current() (Stage, bool) {
	for _, s := range f.Stages {
		if s.State != Done {
			return s, true
		}
	}
	return Stage{}, false
}

// condition is how the node is, in a sentence, and its look.
func (v *view) condition() (kind string, sentence part) {
	f := v.facts
	s, open := f.current()
	switch {
	case !open && f.Member && f.Members == 1:
		return "good", v.say(mInMeshAlone, f.Network)
	case !open && f.Member:
		return "good", v.say(mInMesh, f.Network, f.Alive, f.Members)
	case s.Name == "network" && s.State == Waiting:
		return "warn", v.say(mNoNetwork)
	case s.Name == "join" && s.State == Waiting:
		return "warn", v.say(mNoInvitation)
	case s.Name == "join" && s.State == Refused && f.Member:
		return "bad", v.say(mPutOut)
	case s.Name == "join" && s.State == Refused:
		return "bad", v.say(mJoinRefused)
	case s.State == Failed, s.State == Refused:
		return "bad", v.say(mStageStuck, v.lang.say(v.stageTitle(s)))
	case s.State == Waiting:
		return "warn", v.say(mStageWaits, v.lang.say(v.stageTitle(s)))
	}
	return "busy", v.say(mOnItsWay, v.lang.say(v.stageTitle(s)))
}

func (v *view) stageTitle(s Stage) message {
	if w, ok := stageWords[s.Name]; ok {
		return w[0]
	}
	return &words{s.Name, s.Name, s.Name}
}

// status is the sentence with its sign, and what to do next.
func (v *view) status() part {
	kind, sentence := v.condition()
	return group{
		el("span", class("sign "+kind), attr{"aria-hidden", "true"}),
		el(`p class="status-text"`, sentence),
	}
}

func (v *view) statusBox() part {
	return el(`div id="status" class="status" role="status"`, v.live("status", v.status()))
}

func (v *view) stages() part {
	return group{
		v.heading(v.say(mStages), v.say(mStagesLead)),
		v.statusBox(),
		when(v.facts.Cloned, el(`div class="alert warn"`, el("p", v.say(mCloned)))),
		el(`ol id="stages" class="stages"`, v.live("stages", v.stageList())),
	}
}

func (v *view) stageList() part {
	out := group{}
	now := v.s.o.Now()
	for _, s := range v.facts.Stages {
		what := message(&words{})
		if w, ok := stageWords[s.Name]; ok {
			what = w[1]
		}
		when_ := group{}
		if !s.Since.IsZero() && s.State != Pending {
			when_ = append(when_, v.say(mSince, v.lang.duration(now.Sub(s.Since))))
		}
		problem := group{}
		if s.Error != "" && s.State != Done {
			problem = append(problem, v.technical(s.Error))
		}
		if s.State == Failed && !s.Next.IsZero() {
			problem = append(problem, el(`p class="hint"`, v.say(mAttempts, s.Attempts, v.lang.duration(s.Next.Sub(now)))))
		}
		out = append(out, el("li", class("stage "+stateKinds[s.State]),
			el(`span class="stage-sign" aria-hidden="true"`, v.stateIcon(s.State)),
			el(`div class="stage-body"`,
				el(`div class="stage-head"`, el("h2", v.stageName(s)), badge(stateKinds[s.State], v.stageState(s)), el(`span class="hint"`, when_)),
				el("p", v.say(what)),
				v.stageDetail(s), problem)))
	}
	return out
}

// stageDetail is what a finished stage came to.
func (v *view) stageDetail(s Stage) part {
	f := v.facts
	var p part
	switch {
	case s.Name == "identity" && f.Name != "":
		p = group{text(f.Host), text(" · "), code(f.Name)}
	case s.State == Waiting && s.Name == "join":
		return el(`p class="detail"`, v.say(mNoInvitation), text(" "), el(`a href="/join"`, v.say(mJoin)))
	case s.State == Waiting && s.Name == "network":
		p = v.say(mNoNetwork)
	case s.State != Done:
		return nil
	case s.Name == "network":
		p = code(strings.Join(f.Addresses, "  "))
	case s.Name == "join" && f.Inviter != "":
		p = v.say(mAdmittedBy, f.Network, v.hostOf(f.Inviter))
	case s.Name == "join":
		p = v.say(mFounder, f.Network)
	case s.Name == "mesh":
		p = text(v.lang.count(mLinksCount, len(f.Links)))
	case s.Name == "discover":
		p = v.say(mAliveOf, f.Alive, f.Members)
	case s.Name == "services":
		up, on := v.ownCount()
		p = v.say(mUpOf, up, on)
	}
	if p == nil {
		return nil
	}
	return el(`p class="detail"`, p)
}

func (v *view) stateIcon(state string) part {
	d := map[string]string{
		Done: "M5 10.5 8.5 14 15 7", Running: "M10 4a6 6 0 1 1-6 6", Waiting: "M10 6v4.5l3 2", Failed: "M10 5v6M10 14.5h.01", Refused: "M6 6l8 8M14 6l-8 8", Pending: "M10 10h.01",
	}[state]
	return v.icon(d)
}

// steps are the stages in small, for the overview.
func (v *view) steps() part {
	out := group{}
	for _, s := range v.facts.Stages {
		out = append(out, el("li", class("step "+stateKinds[s.State]),
			el(`span class="stage-sign" aria-hidden="true"`, v.stateIcon(s.State)),
			el(`span class="step-name"`, v.stageName(s)),
			el(`span class="unseen"`, text(": "), v.stageState(s))))
	}
	return out
}

// ago is a time as a reader far from its clock understands it.
func (v *view) ago(t time.Time) part {
	d := v.s.o.Now().Sub(t)
	if d < 0 {
		return el("time", attr{"datetime", t.UTC().Format(time.RFC3339)}, v.say(mIn, v.lang.duration(-d)))
	}
	return el("time", attr{"datetime", t.UTC().Format(time.RFC3339)}, v.say(mAgo, v.lang.duration(d)))
}
