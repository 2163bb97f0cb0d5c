// Package inorder does work side by side whose results are wanted in order:
// what the packed formats of disks and filesystems do with their blocks.
package inorder

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// maxWorkers bounds the memory on machines of many cores.
const maxWorkers = 8

// Work is a stream of jobs. Jobs are used again when they are done, with the
// buffers that are in them, so no more are ever there than what Run makes.
type Work[J any] struct {
	// Read hands jobs out: it fills the one that next returns and sends it.
	// Both fail when the work has ended before its time.
	Read func(next func() (*J, error), send func(*J) error) error
	// Worker makes what does a job. Each worker has one of its own.
	Worker func() (func(*J) error, error)
	// Take is given the jobs, done, in the order in which they were sent.
	Take func(*J) error
}

// Run does the work on as many cores as there are, and returns the first
// error. Nothing is running any more then.
func (w Work[J]) Run(ctx context.Context) error {
	workers := min(runtime.GOMAXPROCS(0), maxWorkers)
	do := make([]func(*J) error, workers)
	for i := range do {
		var err error
		if do[i], err = w.Worker(); err != nil {
			return err
		}
	}
	type job struct {
		of   *J
		done chan struct{}
	}
	// As many as are worked on, and as many that wait on either side.
	free := make(chan *J, 3*workers)
	for range cap(free) {
		free <- new(J)
	}
	work, order := make(chan job, workers), make(chan job, cap(free))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(work)
		defer close(order)
		next := func() (*J, error) {
			select {
			case j := <-free:
				return j, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		send := func(j *J) error {
			it := job{j, make(chan struct{})}
			order <- it // has room for all of them
			select {
			case work <- it:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return w.Read(next, send)
	})
	for _, do := range do {
		g.Go(func() error {
			for j := range work {
				if err := do(j.of); err != nil {
					return err
				}
				close(j.done)
			}
			return nil
		})
	}
	g.Go(func() error {
		for j := range order {
			select {
			case <-j.done:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := w.Take(j.of); err != nil {
				return err
			}
			free <- j.of
		}
		return ctx.Err()
	})
	return g.Wait()
}
