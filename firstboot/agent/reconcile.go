package agent

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// The pace of the reconciler.
const (
	tick       = 5 * time.Second // when all is well
	retryFirst = time.Second
	retryMax   = 5 * time.Minute

	// Where there is something to do all the time, as while a mesh forms, a
	// round comes after nine times what the last one took, within these: so
	// it leaves a slow board to others.
	pauseMin = 100 * time.Millisecond
	pauseMax = time.Second
)

type stage struct {
	name string
	run  func(context.Context) (detail string, err error)
	soft bool // what comes after it does not need it

	// retry is the longest pause before another attempt; 0 is retryMax.
	retry time.Duration
}

func (a *Agent) stages() []stage {
	return []stage{
		{name: "identity", run: a.stageIdentity},
		{name: "network", run: a.stageNetwork},
		{name: "join", run: a.stageJoin},
		// It asks members, who know the node, and turns to others when
		// these are gone.
		{name: "mesh", run: a.stageMesh, retry: 15 * time.Second},
		{name: "discover", run: a.stageDiscover, soft: true},
		{name: "services", run: a.stageServices, soft: true},
		{name: "announce", run: a.stageAnnounce, soft: true},
	}
}

// errWaiting marks what only somebody else can change.
var errWaiting = errors.New("waiting")

// errRefused marks what no repetition changes.
var errRefused = errors.New("refused")

// backoff is full jitter over a doubling interval.
func backoff(failures int, most time.Duration) time.Duration {
	return retryFirst/4 + rand.N(min(retryFirst<<min(failures, 10), most))
}

// reconcile goes through the stages once and returns when the first failed
// one is to be tried again.
func (a *Agent) reconcile(ctx context.Context) time.Time {
	a.mu.Lock()
	hurry := a.hurry
	a.hurry = false
	a.mu.Unlock()
	next := time.Now().Add(tick)
	stages := a.stages()
	for i, s := range stages {
		var now StageStatus
		a.setStage(s.name, func(x *StageStatus) {
			if x.State == Pending {
				x.State = Running
			}
			now = *x
		})
		var err error
		if now.State == Failed && !hurry && time.Now().Before(now.Next) {
			err = errors.New(now.Error)
		} else {
			var detail string
			detail, err = s.run(ctx)
			if ctx.Err() != nil {
				return next
			}
			now = a.outcome(s, detail, err)
		}
		if err == nil {
			continue
		}
		if now.State == Failed && now.Next.Before(next) {
			next = now.Next
		}
		if s.soft {
			continue
		}
		for _, later := range stages[i+1:] {
			a.setStage(later.name, func(x *StageStatus) { x.State, x.Detail, x.Error = Pending, "", "" })
		}
		break
	}
	return next
}

// outcome notes how a stage went.
func (a *Agent) outcome(s stage, detail string, err error) (now StageStatus) {
	a.setStage(s.name, func(x *StageStatus) {
		was := *x
		x.Detail, x.Next = detail, time.Time{}
		switch {
		case err == nil:
			x.State, x.Error, x.Attempts = Done, "", 0
		case errors.Is(err, errWaiting):
			x.State, x.Error = Waiting, err.Error()
		case errors.Is(err, errRefused):
			x.State, x.Error = Refused, err.Error()
		default:
			x.State, x.Error = Failed, err.Error()
			x.Attempts++
			x.Next = time.Now().Add(backoff(x.Attempts, cmp.Or(s.retry, retryMax)))
		}
		if was.State != x.State || was.Error != x.Error {
			a.log.Info("stage "+s.name, "state", x.State, "detail", detail, "error", x.Error, "attempts", x.Attempts)
		}
		now = *x
	})
	return now
}
