package rootfs

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"cloudy/builder/fail"
	"cloudy/builder/progress"
)

// stageAll decodes all packages on all cores while the installer goes on: Base
// first, since nothing runs before it is complete, then the packages of the
// initramfs, because making that takes longest, then all others.
func (in *installer) stageAll(ctx context.Context, g *errgroup.Group) {
	step := progress.Begin(ctx, "unpack", int64(len(in.order)), progress.Packages)
	queue := make(chan *job, len(in.order))
	workers, wctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() error {
			buf := make([]byte, copyBuffer)
			for j := range queue {
				in.pace.begin()
				err := in.decode(wctx, j, buf)
				in.pace.end()
				if err != nil {
					return err
				}
				step.Add(1)
			}
			return nil
		})
	}
	for _, j := range in.order[:len(in.Base)] {
		queue <- j
	}
	workers.Go(func() error {
		defer close(queue)
		return in.learn(wctx, queue)
	})
	g.Go(func() error { return step.End(workers.Wait()) })
}

// pace leaves a core to the chain that everything waits for, the scripts one
// after another: while they run, one package less is decoded at a time. With
// as many decoders as cores each of their hundreds of short processes would
// have to wait for its turn.
type pace struct {
	mu       sync.Mutex
	changed  sync.Cond
	cores    int
	decoders int // at work
	scripts  int // running
}

func newPace(cores int) *pace {
	p := &pace{cores: cores}
	p.changed.L = &p.mu
	return p
}

// begin waits until a decoder may go on.
func (p *pace) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.full() {
		p.changed.Wait()
	}
	p.decoders++
}

// full says that another decoder has to wait.
func (p *pace) full() bool { return p.decoders >= max(1, p.cores-p.scripts) }

func (p *pace) end() { p.change(func() { p.decoders-- }) }

// scriptsRun says that scripts begin to run; the function that it returns, that
// they have ended.
func (p *pace) scriptsRun() (ended func()) {
	p.change(func() { p.scripts++ })
	return func() { p.change(func() { p.scripts-- }) }
}

func (p *pace) change(f func()) {
	p.mu.Lock()
	f()
	p.mu.Unlock()
	p.changed.Broadcast()
}

// learn reads the control parts of Rest, which decide its order, and queues
// it for decoding.
func (in *installer) learn(ctx context.Context, queue chan<- *job) error {
	rest := in.order[len(in.Base):]
	for _, j := range rest {
		path, err := j.File(ctx)
		if err != nil {
			return err
		}
		if j.meta, err = readMetadata(path); err != nil {
			return fail.Mark(fail.Build, fmt.Errorf("package %s: %w", j.Name, err))
		}
	}
	order, first, err := initramfsFirst(rest, in.Architecture)
	if err != nil {
		return err
	}
	in.early, in.late = order[:first:first], order[first:]
	close(in.known)
	for _, j := range slices.Concat(in.early, in.late) {
		queue <- j
	}
	return nil
}

func (in *installer) decode(ctx context.Context, j *job, buf []byte) error {
	path, err := j.File(ctx)
	if err != nil {
		return err
	}
	if j.staged, err = in.stage.stage(ctx, path, buf); err != nil {
		return fail.Mark(fail.Build, fmt.Errorf("package %s: %w", j.Name, err))
	}
	if j.staged.name != j.Name {
		return fail.Mark(fail.Build, fmt.Errorf("%s holds package %s, not %s", filepath.Base(path), j.staged.name, j.Name))
	}
	close(j.ready)
	return nil
}

// waitKnown returns when the control parts of Rest are read.
func (in *installer) waitKnown(ctx context.Context) error {
	select {
	case <-in.known:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wait returns when j is decoded.
func (in *installer) wait(ctx context.Context, j *job) error {
	select {
	case <-j.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
