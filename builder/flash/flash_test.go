package flash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"cloudy/builder/disk/bmap"
	"cloudy/builder/disk/fat"
	"cloudy/builder/disk/gpt"
	"cloudy/builder/disk/sparse"
	"cloudy/builder/fail"
	"cloudy/builder/tree"
)

const mib = 1 << 20

func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		missing(t, name+" is not installed")
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// diskImage makes a disk of 48 MiB: an ESP with a file, and a partition with
// noise, a gap that does not matter and zeros that do.
func diskImage(t *testing.T) (path string, zeros sparse.Extent) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "node.raw")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(48 * mib); err != nil {
		t.Fatal(err)
	}
	id := func(n byte) uuid.UUID { return uuid.UUID{0xc1, 6: 0x40, 8: 0x80, 15: n} }
	tab := &gpt.Table{GUID: id(9), DiskSize: 48 * mib, Partitions: []gpt.Partition{
		{Number: 1, Name: "esp", Type: uuid.MustParse(gpt.ESP), GUID: id(1), Start: mib, Size: 16 * mib},
		{Number: 2, Name: "root", Type: uuid.MustParse(gpt.Linux), GUID: id(2), Start: 17 * mib, Size: 30 * mib},
	}}
	if err := tab.Write(f); err != nil {
		t.Fatal(err)
	}
	files := &tree.Tree{Entries: []tree.Entry{
		{Path: ".", Type: tree.Dir}, {Path: "kernel", Type: tree.File, Size: 5, Data: []byte("start")},
	}}
	if _, err := fat.Write(context.Background(), f, mib, files, fat.Options{Size: 16 * mib, Label: "CLOUDY", Epoch: time.Unix(1e9, 0)}); err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 5*mib+4096)
	rand.NewChaCha8([32]byte{7}).Read(noise)
	for _, at := range []int64{17 * mib, 36*mib + 8192} {
		if _, err := f.WriteAt(noise, at); err != nil {
			t.Fatal(err)
		}
	}
	return path, sparse.Extent{Offset: 25 * mib, Length: 2 * mib}
}

// writeMap puts the block map beside an image.
func writeMap(t *testing.T, image string, zeros ...sparse.Extent) *bmap.Map {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := bmap.Of(context.Background(), f, zeros, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(image + ".bmap")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := m.Write(out); err != nil {
		t.Fatal(err)
	}
	return m
}

// memory is a medium in memory, full of what was there before.
type memory struct {
	b []byte
	// real is how much of it is there: what lies behind wraps around, as on a
	// forged card. 0 is all.
	real  int64
	fails int64 // writes at and behind this offset fail; 0 is none
	wrote func(int64)
}

func newMemory(size int64) *memory {
	m := &memory{b: make([]byte, size)}
	rand.NewChaCha8([32]byte{9}).Read(m.b)
	return m
}

func (m *memory) at(off int64) int64 {
	if m.real > 0 {
		return off % m.real
	}
	return off
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) { return copy(p, m.b[m.at(off):]), nil }
func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if m.fails > 0 && off+int64(len(p)) > m.fails {
		return 0, unix.EIO
	}
	if m.wrote != nil {
		m.wrote(off)
	}
	return copy(m.b[m.at(off):], p), nil
}
func (m *memory) BulkRead(p []byte, off int64) error { _, err := m.ReadAt(p, off); return err }
func (m *memory) BulkWrite(p []byte, off int64) error {
	if !aligned(p) || len(p)%sector != 0 || off%sector != 0 {
		return fmt.Errorf("%d bytes at %d are not aligned", len(p), off)
	}
	_, err := m.WriteAt(p, off)
	return err
}
func (m *memory) Sync() error  { return nil }
func (m *memory) Done() error  { return nil }
func (m *memory) Close() error { return nil }
func (m *memory) Size() int64  { return int64(len(m.b)) }

func open(t *testing.T, path, mapPath string) *Image {
	t.Helper()
	im, err := Open(context.Background(), path, mapPath)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	return im
}

// judge compares a medium with the image: all that must be there is, and the
// tools of others like the rest. mapped is nil when all of it counts.
func judge(t *testing.T, image string, got []byte, mapped *bmap.Map, seed string) {
	t.Helper()
	want, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	// The table has moved, and the seed is on the ESP.
	same := func(from, to int64) {
		if !bytes.Equal(want[from:to], got[from:to]) {
			t.Errorf("bytes %d to %d differ", from, to)
		}
	}
	if mapped == nil {
		same(17*mib, 47*mib)
	} else {
		for _, r := range mapped.Ranges {
			if from, to := r.First*mapped.BlockSize, (r.Last+1)*mapped.BlockSize; from >= 17*mib && to <= 47*mib {
				same(from, to)
			}
		}
	}
	dev := filepath.Join(t.TempDir(), "medium")
	if err := os.WriteFile(dev, got, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(t, "sgdisk", "-v", dev); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk: %s", out)
	}
	esp := filepath.Join(t.TempDir(), "esp")
	if err := os.WriteFile(esp, got[mib:17*mib], 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "fsck.vfat", "-n", esp)
	if out := run(t, "mtype", "-i", esp, "::kernel"); out != "start" {
		t.Errorf("kernel is %q", out)
	}
	if seed != "" {
		if out := run(t, "mtype", "-i", esp, "::"+SeedFile); out != seed {
			t.Errorf("seed is %q, want %q", out, seed)
		}
	}
}

// TestFormats writes one image in every form to a used medium.
func TestFormats(t *testing.T) {
	raw, zeros := diskImage(t)
	seed := "hostname=attic\n"
	forms := map[string]func() string{
		"raw":   func() string { return raw },
		"zstd":  func() string { run(t, "zstd", "-qkf", raw); return raw + ".zst" },
		"xz":    func() string { run(t, "xz", "-kf1", raw); return raw + ".xz" },
		"gzip":  func() string { run(t, "gzip", "-kf1", raw); return raw + ".gz" },
		"qcow2": func() string { run(t, "qemu-img", "convert", "-O", "qcow2", raw, raw+".qcow2"); return raw + ".qcow2" },
	}
	for name, make := range forms {
		t.Run(name, func(t *testing.T) {
			path := make()
			m := newMemory(64*mib + 5*sector)
			res, err := Write(context.Background(), open(t, path, "none"), m, Options{Seed: []byte(seed)})
			if err != nil {
				t.Fatal(err)
			}
			judge(t, raw, m.b, nil, seed)
			if res.Written+res.Left < 48*mib {
				t.Errorf("%+v", res)
			}
			// An empty medium has the zeros already.
			m = &memory{b: zeroes(64 * mib)}
			res, err = Write(context.Background(), open(t, path, "none"), m, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if judge(t, raw, m.b, nil, ""); res.Written > 14*mib {
				t.Errorf("written to an empty medium: %d", res.Written)
			}
		})
	}
	t.Run("map", func(t *testing.T) {
		mapped := writeMap(t, raw, zeros, sparse.Extent{Length: 17 * mib})
		for _, path := range []string{raw, raw + ".zst"} {
			m := newMemory(64 * mib)
			before := bytes.Clone(m.b)
			res, err := Write(context.Background(), open(t, path, ""), m, Options{Seed: []byte(seed)})
			if err != nil {
				t.Fatal(err)
			}
			judge(t, raw, m.b, mapped, seed)
			if !bytes.Equal(m.b[30*mib:35*mib], before[30*mib:35*mib]) || res.Written > 31*mib || res.Left < 16*mib {
				t.Errorf("what does not matter was written: %+v", res)
			}
		}
	})
}

func zeroes(n int) []byte { return make([]byte, n) }

// TestDamaged: a damaged image is found out, and the medium boots nothing.
func TestDamaged(t *testing.T) {
	raw, zeros := diskImage(t)
	run(t, "zstd", "-qkf", raw)
	run(t, "gzip", "-kf1", raw)
	writeMap(t, raw, zeros)
	cut := func(path string, keep float64) string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), filepath.Base(path))
		if err := os.WriteFile(out, data[:int(float64(len(data))*keep)], 0o600); err != nil {
			t.Fatal(err)
		}
		return out
	}
	ctx := context.Background()
	t.Run("cut short", func(t *testing.T) {
		for _, p := range []string{raw + ".zst", raw + ".gz"} {
			if _, err := Open(ctx, cut(p, 0.7), "none"); err == nil || fail.KindOf(err) != fail.User {
				t.Errorf("%s: %v", p, err)
			}
		}
		im := open(t, cut(raw+".zst", 0.7), raw+".bmap")
		m := newMemory(64 * mib)
		if _, err := Write(ctx, im, m, Options{}); err == nil || !strings.Contains(err.Error(), "read ") {
			t.Errorf("with a map: %v", err)
		}
		if !sparse.Zero(m.b[:mib]) {
			t.Error("the unfinished medium has a partition table")
		}
	})
	t.Run("another image's map", func(t *testing.T) {
		if _, err := Open(ctx, cut(raw, 0.5), raw+".bmap"); err == nil || !strings.Contains(err.Error(), "block map is of an image") {
			t.Error(err)
		}
	})
	t.Run("a changed byte", func(t *testing.T) {
		other := cut(raw, 1)
		f, err := os.OpenFile(other, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte{1}, 18*mib+5); err != nil {
			t.Fatal(err)
		}
		if _, err := Write(ctx, open(t, other, raw+".bmap"), newMemory(64*mib), Options{}); err == nil || !strings.Contains(err.Error(), "not what the block map says") {
			t.Error(err)
		}
	})
	t.Run("no image", func(t *testing.T) {
		text := filepath.Join(t.TempDir(), "text.tar")
		run(t, "tar", "-cf", text, "-C", filepath.Dir(raw), "node.raw.bmap")
		if _, err := Open(ctx, text, ""); err == nil || !strings.Contains(err.Error(), "no disk image") {
			t.Error(err)
		}
		run(t, "gzip", "-k", text)
		if _, err := Open(ctx, text+".gz", ""); err == nil || !strings.Contains(err.Error(), "cannot be written") {
			t.Error(err)
		}
	})
	t.Run("no boot partition", func(t *testing.T) {
		plain := filepath.Join(t.TempDir(), "plain.raw")
		if err := os.WriteFile(plain, bytes.Repeat([]byte("x"), 4*mib), 0o600); err != nil {
			t.Fatal(err)
		}
		m := newMemory(8 * mib)
		before := sha256.Sum256(m.b)
		if _, err := Write(ctx, open(t, plain, ""), m, Options{Seed: []byte("x")}); err == nil || !strings.Contains(err.Error(), "no FAT partition") {
			t.Error(err)
		}
		if _, err := Write(ctx, open(t, plain, ""), m, Options{}); err == nil || fail.KindOf(err) != fail.User || !strings.Contains(err.Error(), "neither a partition table nor a filesystem") {
			t.Error(err)
		}
		if sha256.Sum256(m.b) != before {
			t.Error("the medium was written to")
		}
		if _, err := Write(ctx, open(t, plain, ""), m, Options{AnyImage: true}); err != nil || !bytes.HasPrefix(m.b, bytes.Repeat([]byte("x"), 4*mib)) {
			t.Errorf("any image: %v", err)
		}
	})
}

// TestBadMedium: a medium that fails, one that is smaller than it says, one
// that is too small, one pulled out by Ctrl-C.
func TestBadMedium(t *testing.T) {
	raw, _ := diskImage(t)
	ctx := context.Background()
	m := newMemory(64 * mib)
	m.fails = 20 * mib
	_, err := Write(ctx, open(t, raw, ""), m, Options{})
	// The end of the medium is cleared first.
	var me *MediumError
	if !errors.As(err, &me) || !errors.Is(err, unix.EIO) || fail.KindOf(err) != fail.Host || fail.HintOf(err) == "" {
		t.Errorf("failing: %v", err)
	}
	m = newMemory(64 * mib)
	m.real = 40 * mib
	if _, err := Write(ctx, open(t, raw, ""), m, Options{}); !errors.Is(err, ErrDiffers) || !strings.Contains(fail.HintOf(err), "forged") {
		t.Errorf("forged: %v", err)
	}
	if _, err := Write(ctx, open(t, raw, ""), newMemory(40*mib), Options{}); err == nil || fail.KindOf(err) != fail.User {
		t.Errorf("too small: %v", err)
	}
	stopped, stop := context.WithCancel(ctx)
	m = newMemory(64 * mib)
	m.wrote = func(off int64) {
		if off > 20*mib && off < 48*mib {
			stop()
		}
	}
	if _, err := Write(stopped, open(t, raw, ""), m, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	if !sparse.Zero(m.b[:mib]) {
		t.Error("the unfinished medium has a partition table")
	}
}

func sumOf(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}
