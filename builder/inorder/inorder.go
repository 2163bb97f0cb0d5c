// Package inorder does work side by side whose results are wanted in order:
// what packs streams, disks and filesystems does so with their blocks.
package inorder

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// maxWorkers bounds the memory on machines of many cores.
const maxWorkers = 8

// Work is what is done with a stream of jobs. Jobs are used again when they
// are done, with the buffers that are in them, so no more are ever there than
// what is worked on and Spare.
type Work[J any] struct {
	// Worker makes what does a job. Each worker has one of its own.
	Worker func() (func(*J) error, error)
	// Take is given the jobs, done, in the order in which they were sent, one
	// at a time.
	Take func(*J) error
	// Spare is how many jobs may be filled, or wait for their turn, while all
	// workers have one; 0 is two for each worker.
	Spare int
}

// Line is work that goes on. Its methods are for one goroutine.
type Line[J any] struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	group  *errgroup.Group
	free   chan *J
	work   chan task[J]
	order  chan task[J]
}

type task[J any] struct {
	job  *J
	done chan struct{}
}

// Start begins the work on as many cores as there are. End must be called.
func (w Work[J]) Start(ctx context.Context) (*Line[J], error) {
	workers := min(runtime.GOMAXPROCS(0), maxWorkers)
	do := make([]func(*J) error, workers)
	for i := range do {
		var err error
		if do[i], err = w.Worker(); err != nil {
			return nil, err
		}
	}
	spare := w.Spare
	if spare == 0 {
		spare = 2 * workers
	}
	l := &Line[J]{free: make(chan *J, workers+spare), work: make(chan task[J], workers), order: make(chan task[J], workers+spare)}
	for range cap(l.free) {
		l.free <- new(J)
	}
	ctx, l.cancel = context.WithCancelCause(ctx)
	l.group, l.ctx = errgroup.WithContext(ctx)
	for _, do := range do {
		l.group.Go(func() error {
			for t := range l.work {
				if err := do(t.job); err != nil {
					return err
				}
				close(t.done)
			}
			return nil
		})
	}
	l.group.Go(func() error {
		for t := range l.order {
			select {
			case <-t.done:
			case <-l.ctx.Done():
				return context.Cause(l.ctx)
			}
			if err := w.Take(t.job); err != nil {
				return err
			}
			l.free <- t.job
		}
		return nil
	})
	return l, nil
}

// Next returns a job to be filled and sent, or what has ended the work before
// its time.
func (l *Line[J]) Next() (*J, error) {
	select {
	case j := <-l.free:
		return j, nil
	case <-l.ctx.Done():
		return nil, context.Cause(l.ctx)
	}
}

// Send hands a job of Next to the workers, or returns what has ended the work
// before its time.
func (l *Line[J]) Send(j *J) error {
	t := task[J]{j, make(chan struct{})}
	l.order <- t // has room for all of them
	select {
	case l.work <- t:
		return nil
	case <-l.ctx.Done():
		return context.Cause(l.ctx)
	}
}

// End waits for all that was sent, or ends the work at once where err says
// why, and returns the first error. Nothing is running any more then.
func (l *Line[J]) End(err error) error {
	if err != nil {
		l.cancel(err)
	}
	close(l.work)
	close(l.order)
	failed := l.group.Wait()
	l.cancel(nil)
	if err == nil {
		err = failed
	}
	return err
}

// Run does all the work that read sends, and returns the first error.
func (w Work[J]) Run(ctx context.Context, read func(*Line[J]) error) error {
	l, err := w.Start(ctx)
	if err != nil {
		return err
	}
	return l.End(read(l))
}
