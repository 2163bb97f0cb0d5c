package targets

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"
)

// Stream returns a writer for a file that is written from front to back. What
// goes through it is hashed meanwhile, on another core, so that Commit need
// not read the file again. Nothing else may write to the file, and Stream is
// called once.
func (o *Output) Stream() io.Writer {
	s := &stream{file: o.File, done: make(chan struct{})}
	s.more.L = &s.mu
	o.stream = s
	go s.follow()
	return s
}

// stream is a file that is being written, and its hash that follows behind.
type stream struct {
	file *os.File

	mu      sync.Mutex
	more    sync.Cond // written or ended has changed
	written int64     // bytes
	ended   bool

	done chan struct{} // closed when sum and err are set
	sum  string
	err  error
}

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	n, err := s.file.Write(p)
	s.mu.Lock()
	s.written += int64(n)
	s.mu.Unlock()
	s.more.Signal()
	return n, err
}

// follow hashes what has been written. It reads the file: the page cache has
// it, and the writer keeps its buffers.
func (s *stream) follow() {
	defer close(s.done)
	h, buf, at := sha256.New(), make([]byte, 1<<20), int64(0)
	for {
		s.mu.Lock()
		for s.written == at && !s.ended {
			s.more.Wait()
		}
		end := s.written
		s.mu.Unlock()
		if at == end {
			s.sum = hex.EncodeToString(h.Sum(nil))
			return
		}
		for at < end {
			n, err := s.file.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
			h.Write(buf[:n])
			at += int64(n)
			if n == 0 {
				s.err = fmt.Errorf("read back what was written: %w", err)
				return
			}
		}
	}
}

// finish returns the hash of all that was written, and of how many bytes.
func (s *stream) finish() (sum string, size int64, err error) {
	s.mu.Lock()
	s.ended = true
	size = s.written
	s.mu.Unlock()
	s.more.Signal()
	<-s.done
	return s.sum, size, s.err
}
