package fetch

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"cloudy/builder/progress"
	"cloudy/builder/store"
)

// checkBuffer is how many bytes are hashed at once.
const checkBuffer = 256 << 10

// check reads blobs of the store on all processors and reports each that is
// sound. Damaged ones are returned in their order; the store has dropped them.
func (c *Client) check(ctx context.Context, there []store.Digest, sound func(store.Digest, string)) ([]store.Digest, error) {
	bad := make([]bool, len(there))
	next := make(chan int, len(there))
	for i := range there {
		next <- i
	}
	close(next)
	g, ctx := errgroup.WithContext(ctx)
	var warn sync.Once
	for range min(runtime.GOMAXPROCS(0), len(there)) {
		g.Go(func() error {
			buf := make([]byte, checkBuffer)
			for i := range next {
				if err := ctx.Err(); err != nil {
					return context.Cause(ctx)
				}
				err := c.read(there[i], buf)
				switch {
				case errors.Is(err, store.ErrDigest), errors.Is(err, store.ErrNotExist):
					bad[i] = true
					warn.Do(func() { progress.Warn(ctx, "files in the store are damaged and have to be downloaded again") })
				case err != nil:
					return err
				default:
					path, _ := c.store.Blob(there[i])
					sound(there[i], path)
				}
			}
			return nil
		})
	}
	err := g.Wait()
	var out []store.Digest
	for i, d := range there {
		if bad[i] {
			out = append(out, d)
		}
	}
	return out, err
}

// read reads a blob to its end, which verifies it.
func (c *Client) read(d store.Digest, buf []byte) error {
	r, err := c.store.OpenBlob(d)
	if err != nil {
		return err
	}
	// io.Discard would take over with a small buffer of its own.
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf)
	return errors.Join(err, r.Close())
}
