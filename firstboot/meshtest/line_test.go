package meshtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// line is a bad link between two namespaces: two TAP devices whose frames the
// test carries from one to the other. It is what netem does, which many
// kernels do not have.
type line struct {
	loss  float64       // share of the frames that are lost, each way
	delay time.Duration // one way
	rate  int           // bit/s, each way
}

// queue is how long a frame waits at most until the line is free; a modem
// drops then.
const queue = 800 * time.Millisecond

// lay makes the two ends of the line; for lab.nodeOn.
func (s line) lay(l *lab) func(ns, dev, peerNS, peer string) {
	return func(ns, dev, peerNS, peer string) {
		l.t.Helper()
		x, err := tap(ns, dev)
		if err != nil {
			need(l.t, false, err.Error())
		}
		y, err := tap(peerNS, peer)
		if err != nil {
			x.Close()
			need(l.t, false, err.Error())
		}
		l.t.Cleanup(func() { x.Close(); y.Close() })
		go s.carry(x, y)
		go s.carry(y, x)
	}
}

// carry takes frames from one end to the other until an end is closed.
func (s line) carry(from, to *os.File) {
	type frame struct {
		data []byte
		at   time.Time
	}
	late := make(chan frame, 4096)
	defer close(late)
	go func() {
		for f := range late {
			time.Sleep(time.Until(f.at))
			to.Write(f.data)
		}
	}()
	free := time.Now() // when the line has sent what it has
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		now := time.Now()
		if rand.Float64() < s.loss || free.Sub(now) > queue {
			continue
		}
		if free.Before(now) {
			free = now
		}
		free = free.Add(time.Duration(n) * 8 * time.Second / time.Duration(s.rate))
		late <- frame{append([]byte(nil), buf[:n]...), free.Add(s.delay)}
	}
}

// tap makes a TAP device (linux/if_tun.h) in a namespace. It is gone when the
// file is closed.
func tap(ns, dev string) (*os.File, error) {
	type result struct {
		f   *os.File
		err error
	}
	done := make(chan result)
	go func() {
		// The thread is not given back: it ends with its goroutine, for
		// it is in another namespace than the others.
		runtime.LockOSThread()
		f, err := func() (*os.File, error) {
			h, err := os.Open("/run/netns/" + ns)
			if err != nil {
				return nil, err
			}
			defer h.Close()
			if err := unix.Setns(int(h.Fd()), unix.CLONE_NEWNET); err != nil {
				return nil, fmt.Errorf("setns %s: %w", ns, err)
			}
			fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
			if err != nil {
				return nil, err
			}
			var req struct {
				name  [unix.IFNAMSIZ]byte
				flags uint16
				_     [22]byte
			}
			copy(req.name[:unix.IFNAMSIZ-1], dev)
			req.flags = unix.IFF_TAP | unix.IFF_NO_PI
			if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&req))); e != 0 {
				unix.Close(fd)
				return nil, fmt.Errorf("tap device %s: %w", dev, e)
			}
			return os.NewFile(uintptr(fd), dev), nil
		}()
		done <- result{f, err}
	}()
	r := <-done
	return r.f, r.err
}

// sh runs a shell command in the node.
func (n *node) sh(command string) string {
	n.l.t.Helper()
	out, err := n.try("sh", "-c", command)
	if err != nil {
		n.l.t.Fatalf("node %s: %v: %s", n.name, err, out)
	}
	return out
}

// nft gives rules to a namespace of the lab.
func (l *lab) nft(ns, rules string) {
	l.t.Helper()
	cmd := exec.Command("ip", "netns", "exec", ns, "nft", rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		need(l.t, false, "nft does not work here: "+string(out))
	}
}
