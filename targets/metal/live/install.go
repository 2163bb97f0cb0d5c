package live

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"cloudy/builder/disk/sparse"
	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/machine"
)

const mib = 1 << 20

// need is the least size of a disk that holds the system, in bytes.
func (c Config) need(ctx context.Context, root *tree.Tree) (int64, error) {
	d, err := c.plan(ctx, root, Answers{}, 0)
	if err != nil {
		return 0, err
	}
	return d.Size(), nil
}

// plan plans the disk: the same that the metal target makes, of ids of its own.
func (c Config) plan(ctx context.Context, root *tree.Tree, o Answers, size int64) (*machine.Disk, error) {
	r := &targets.Request{Image: c.Image, Arch: c.Arch, Root: root, Epoch: c.Epoch, KernelArgs: c.KernelArgs}
	// A clock that was never set is no reason for times before the image's.
	if now := time.Now(); now.After(c.Epoch) {
		r.Epoch = now
	}
	if _, err := rand.Read(r.Seed[:]); err != nil {
		return nil, err
	}
	mo := machine.Options{Target: "metal", DiskSize: size / mib * mib, Boot: c.Boot, Grow: c.Grow}
	var err error
	if mo.ESP, err = o.card(); err != nil {
		return nil, err
	}
	return machine.Plan(ctx, r, mo)
}

// writeTo installs the system to a disk.
func (c Config) writeTo(ctx context.Context, to disk, root *tree.Tree, o Answers, say func(string, ...any)) error {
	root, err := personal(root, o, c.Epoch)
	if err != nil {
		return err
	}
	d, err := c.plan(ctx, root, o, to.size)
	if err != nil {
		return err
	}
	f, err := to.open()
	if err != nil {
		return err
	}
	defer f.Close()
	m := &recorder{f: f, total: root.Size(), say: say}
	zeros, err := d.Write(ctx, m)
	if err != nil {
		return fmt.Errorf("write %s: %w", to.path, err)
	}
	if err := m.clear(zeros); err != nil {
		return fmt.Errorf("write %s: %w", to.path, err)
	}
	say("Waiting for the disk.\n")
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", to.path, err)
	}
	// The kernel may look at the new partitions; nothing here needs them.
	_ = unix.IoctlSetInt(int(f.Fd()), unix.BLKRRPART, 0)
	return nil
}

// personal puts the answers into the system.
func personal(root *tree.Tree, o Answers, epoch time.Time) (*tree.Tree, error) {
	var add []tree.Entry
	file := func(path, content string, mode uint32) {
		add = append(add, tree.Entry{Path: path, Type: tree.File, Mode: mode, MTime: epoch, Size: int64(len(content)), Data: []byte(content)})
	}
	if o.Hostname != "" {
		file("etc/hostname", o.Hostname+"\n", 0o644)
	}
	if o.SSHKey != "" {
		const path = "root/.ssh/authorized_keys"
		keys := o.SSHKey + "\n"
		if e := root.Find(path); e != nil {
			old, err := e.Read()
			if err != nil {
				return nil, err
			}
			keys = string(old) + keys
		}
		for _, dir := range []string{"root", "root/.ssh"} {
			if root.Find(dir) == nil {
				add = append(add, tree.Entry{Path: dir, Type: tree.Dir, Mode: 0o700, MTime: epoch})
			}
		}
		file(path, keys, 0o600)
	}
	return root.Apply(nil, add), nil
}

// recorder is the disk that is written, and knows where it was.
type recorder struct {
	f     *os.File
	total int64 // bytes that are about to come
	say   func(string, ...any)

	mu      sync.Mutex
	written []sparse.Extent
	done    int64
	percent int64
}

func (r *recorder) ReadAt(p []byte, off int64) (int, error) { return r.f.ReadAt(p, off) }

func (r *recorder) WriteAt(p []byte, off int64) (int, error) {
	n, err := r.f.WriteAt(p, off)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written = append(r.written, sparse.Extent{Offset: off, Length: int64(n)})
	r.done += int64(n)
	if now := min(r.done*100/max(r.total, 1), 99) / 10 * 10; now > r.percent {
		r.percent = now
		r.say("%d %%\n", now)
	}
	return n, err
}

// clear writes zeros where they count and nothing else was written: the disk
// may have been used.
func (r *recorder) clear(zeros []sparse.Extent) error {
	written := sparse.Merge(r.written)
	buf := make([]byte, mib)
	fill := func(from, to int64) error {
		for from < to {
			n, err := r.f.WriteAt(buf[:min(int64(len(buf)), to-from)], from)
			if err != nil {
				return err
			}
			from += int64(n)
		}
		return nil
	}
	for _, z := range sparse.Merge(zeros) {
		at := z.Offset
		for _, w := range written {
			if w.End() <= at || w.Offset >= z.End() {
				continue
			}
			if err := fill(at, w.Offset); err != nil {
				return err
			}
			at = w.End()
		}
		if err := fill(at, z.End()); err != nil {
			return err
		}
	}
	return nil
}
