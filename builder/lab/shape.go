package lab

import (
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"cloudy/builder/recipe"

	"golang.org/x/sys/unix"
)

// A line that delays, loses or slows packets is a pair of TAP devices whose
// frames this process carries from one to the other. That is netem's work
// done in user space: netem is missing from many kernels, of small virtual
// machines above all, and this one is the same on each of them.

// maxFrame is the largest Ethernet frame: the MTU of 1500 with its header
// and a VLAN tag.
const maxFrame = 1518

// A line holds what waits for its turn for so long at most, as netem with a
// limit would; behind a fast line it is this many frames.
const (
	maxBacklog = 200 * time.Millisecond
	maxQueue   = 4096
)

// tap makes a TAP device in the namespace.
func (s *space) tap(name string) (*os.File, error) {
	var f *os.File
	err := s.do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
		}
		req, err := unix.NewIfreq(name)
		if err == nil {
			req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
		}
		if err != nil {
			unix.Close(fd)
			return &os.PathError{Op: "make TAP device", Path: name, Err: err}
		}
		f = os.NewFile(uintptr(fd), name)
		return nil
	})
	return f, err
}

// counters are what a line did, in both directions.
type counters struct {
	frames, bytes, lost atomic.Int64
}

// carry takes frames from one device to the other until the first is closed,
// and returns when all are delivered. They stay in order: the delay is the
// same for all.
func carry(from, to *os.File, path recipe.Path, count *counters) {
	type frame struct {
		data []byte
		at   time.Time
	}
	queue := make(chan frame, maxQueue)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(queue)
	wg.Go(func() {
		for f := range queue {
			if d := time.Until(f.at); d > 0 {
				time.Sleep(d)
			}
			if _, err := to.Write(f.data); err != nil {
				count.lost.Add(1) // the far end is down
			}
		}
	})
	buf := make([]byte, maxFrame+64)
	var free time.Time // when the line has sent all that it took
	for {
		n, err := from.Read(buf)
		if err != nil || n == 0 {
			return
		}
		now := time.Now()
		if path.Loss > 0 && rand.Float64() < path.Loss {
			count.lost.Add(1)
			continue
		}
		if free.Before(now) {
			free = now
		}
		if path.Rate > 0 {
			if free.Sub(now) > maxBacklog {
				count.lost.Add(1)
				continue
			}
			free = free.Add(time.Duration(float64(n) * 8 / float64(path.Rate) * float64(time.Second)))
		}
		select {
		case queue <- frame{append([]byte(nil), buf[:n]...), free.Add(path.Delay)}:
			count.frames.Add(1)
			count.bytes.Add(int64(n))
		default:
			count.lost.Add(1)
		}
	}
}
