package targets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"cloudy/builder/disk/sparse"
	"cloudy/builder/fail"
	"cloudy/builder/progress"
)

// Output is a file of an artefact that is being written under another name
// beside its own.
type Output struct {
	*os.File
	path   string
	sum    string
	stream *stream // where the file is written by Stream
	front  *front  // where its hash was begun by FollowTo
}

// Create begins an artefact at path. Discard must be called in the end; after
// Commit it does nothing.
func Create(path string) (*Output, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".cloudy-"+filepath.Base(path)+".*")
	if err != nil {
		return nil, fail.Mark(fail.Host, fmt.Errorf("create artefact: %w", err))
	}
	return &Output{File: f, path: path}, nil
}

// Hash returns the SHA-256 of the whole file in hexadecimal. It reads the file
// unless that was written by Stream, and from where Follow has come to.
func (o *Output) Hash(ctx context.Context) (string, error) {
	info, err := o.Stat()
	if err != nil {
		return "", err
	}
	if o.stream != nil {
		sum, size, err := o.stream.finish()
		if err == nil && size != info.Size() {
			err = fmt.Errorf("%d bytes where %d were written", info.Size(), size)
		}
		if err != nil {
			return "", fmt.Errorf("hash %s: %w", filepath.Base(o.path), err)
		}
		o.sum = sum
		return sum, nil
	}
	h, at := sha256.New(), int64(0)
	if o.front != nil && !o.front.lost {
		h, at = o.front.Hash, o.front.at
	}
	step := progress.Begin(ctx, "checksum "+filepath.Base(o.path), info.Size()-at, progress.Bytes)
	if err := step.End(hashSparse(ctx, h, o.File, at, info.Size(), step.Add)); err != nil {
		return "", fmt.Errorf("hash %s: %w", filepath.Base(o.path), err)
	}
	o.sum = hex.EncodeToString(h.Sum(nil))
	return o.sum, nil
}

// front is the hash of the front of a file.
type front struct {
	hash.Hash
	at   int64 // up to where
	lost bool  // something came out of order
}

// FollowTo begins the hash of a file whose parts up to end will not change any
// more, and reads them. Follow goes on from there.
func (o *Output) FollowTo(ctx context.Context, end int64) error {
	o.front = &front{Hash: sha256.New(), at: end}
	return hashSparse(ctx, o.front, o.File, 0, end, func(int64) {})
}

// Follow goes on with the hash that FollowTo has begun, without reading: p
// stands at off of the file, or is about to be written there, and what lies
// between it and what came before is zeros, both for good.
func (o *Output) Follow(p []byte, off int64) {
	f := o.front
	if f == nil || f.lost || off < f.at {
		if f != nil {
			f.lost = true // then Hash reads all of it
		}
		return
	}
	for f.at < off {
		n := min(off-f.at, int64(len(zeros)))
		f.Write(zeros[:n])
		f.at += n
	}
	f.Write(p)
	f.at += int64(len(p))
}

var zeros [1 << 20]byte

// hashSparse writes the content of f from at up to end to h without reading
// holes: most of a disk image is one, and reading zeros costs more than hashing
// them.
func hashSparse(ctx context.Context, h hash.Hash, f *os.File, at, end int64, done func(int64)) error {
	data, err := sparse.ExtentsFrom(f, at)
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	hole := func(end int64) error {
		for at < end {
			n := min(end-at, int64(len(zeros)))
			h.Write(zeros[:n])
			at += n
			done(n)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return nil
	}
	for _, e := range data {
		from, to := max(e.Offset, at), min(e.End(), end)
		if from >= to {
			continue
		}
		if err := hole(from); err != nil {
			return err
		}
		r := &contextReader{ctx, io.NewSectionReader(f, from, to-from)}
		for {
			n, err := io.ReadFull(r, buf)
			h.Write(buf[:n])
			at += int64(n)
			done(int64(n))
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err != nil {
				return err
			}
		}
	}
	return hole(end)
}

// Commit brings the file to the disk, gives it its name, and fills in path,
// size and hash of the artefact. Where neither Hash nor Stream has hashed it,
// that is done meanwhile: the content is complete. What had the name is gone
// from then on, so that a context that ends meanwhile stops nothing any more.
// When reading the file fails there is none of that name.
func (o *Output) Commit(ctx context.Context, a Artefact) (Artefact, error) {
	if err := ctx.Err(); err != nil {
		return a, err
	}
	info, err := o.Stat()
	if err != nil {
		return a, err
	}
	hashed := make(chan error, 1)
	go func() {
		var err error
		if o.sum == "" {
			_, err = o.Hash(context.WithoutCancel(ctx))
		}
		hashed <- err
	}()
	err = o.place()
	if herr := <-hashed; err == nil && herr != nil {
		err = errors.Join(herr, os.Remove(o.path))
	}
	if err == nil {
		err = o.Close()
		o.File = nil
	}
	a.Path, a.Size, a.SHA256 = o.path, info.Size(), o.sum
	return a, err
}

// place gives the file its name. What had it before is freed by that, which
// takes the longer the larger it was.
func (o *Output) place() error {
	if err := o.Sync(); err != nil {
		return fail.Mark(fail.Host, fmt.Errorf("write %s: %w", o.path, err))
	}
	// CreateTemp makes files that only their owner reads.
	if err := errors.Join(o.Chmod(0o644), os.Rename(o.Name(), o.path)); err != nil {
		return fmt.Errorf("write %s: %w", o.path, err)
	}
	return nil
}

// Discard removes what was not committed.
func (o *Output) Discard() {
	if o.File != nil {
		if o.stream != nil {
			_, _, _ = o.stream.finish()
		}
		_ = o.Close()
		_ = os.Remove(o.Name())
		o.File = nil
	}
}

// contextReader ends a long read when its context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Remove takes back artefacts that were committed, when a later one of the
// same build fails.
func Remove(list []Artefact) error {
	var errs []error
	for _, a := range list {
		errs = append(errs, os.Remove(a.Path))
	}
	return errors.Join(errs...)
}
