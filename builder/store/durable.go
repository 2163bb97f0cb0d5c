package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A layer is a gigabyte of small files. Flushing them at Commit would make
// every build wait for the disk, so Commit does not: a layer carries the id
// of the kernel's boot that wrote it. As long as that boot lasts, the page
// cache holds whatever the disk does not, and the layer is whole. After a
// reboot it is trusted only with the mark that a syncfs(2) came after it;
// else it is verified against its manifest, or made again.

// bootID is the kernel's boot id, or empty where there is none.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (s *Store) trusted(l *Layer) bool {
	if s.noSync || (l.Boot != "" && l.Boot == s.bootID) {
		return true
	}
	_, err := os.Lstat(filepath.Join(l.dir, "synced"))
	return err == nil
}

// syncNow makes the pending layer durable before it is renamed.
func (p *Pending) syncNow() error {
	if err := p.store.syncfs(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.dir, "synced"), nil, 0o644)
}

func (s *Store) syncfs() error {
	d, err := os.Open(s.root)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return &os.PathError{Op: "syncfs", Path: s.root, Err: err}
	}
	return nil
}

// Sync waits until every layer's data is on the disk, so that a power cut
// cannot cost them. Close does so by itself for layers that are old enough
// for the kernel to have written them.
func (s *Store) Sync(ctx context.Context) error {
	return hostError(s.dir, s.markSynced(ctx, 0))
}

// settleAfter is how old a layer must be for Close to mark it: the kernel
// writes dirty pages after 30 seconds (vm.dirty_expire_centisecs), so
// syncfs then has little to wait for.
const settleAfter = time.Minute

func (s *Store) settle() {
	if !s.noSync {
		_ = s.markSynced(context.Background(), settleAfter) // costs a verification after a power cut, no more
	}
}

func (s *Store) markSynced(ctx context.Context, age time.Duration) error {
	keys, err := readNames(s.path("layers"))
	if err != nil {
		return err
	}
	var dirs []string
	for _, key := range keys {
		l, err := readLayer(s.path("layers", key))
		if err != nil || l.Boot != s.bootID || time.Since(l.Created) < age {
			continue
		}
		if _, err := os.Lstat(filepath.Join(l.dir, "synced")); err != nil {
			dirs = append(dirs, l.dir)
		}
	}
	if len(dirs) == 0 {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := s.syncfs(); err != nil {
		return fmt.Errorf("sync store: %w", err)
	}
	for _, dir := range dirs {
		_ = os.WriteFile(filepath.Join(dir, "synced"), nil, 0o644) // it may be gone by now
	}
	return nil
}
