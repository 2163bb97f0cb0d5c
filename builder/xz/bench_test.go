package xz

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	reference "github.com/therootcompany/xz"
	ulikunitz "github.com/ulikunitz/xz"
)

// filesEnv names a pattern of .xz files to measure and to compare with xz,
// such as the data.tar.xz members of packages.
const filesEnv = "CLOUDY_XZ_FILES"

// samples returns the files of filesEnv or, without it, the test's own binary
// compressed here.
func samples(b *testing.B) map[string][]byte {
	files, err := filepath.Glob(os.Getenv(filesEnv))
	if err != nil {
		b.Fatal(err)
	}
	out := map[string][]byte{}
	for _, f := range files {
		if out[filepath.Base(f)], err = os.ReadFile(f); err != nil {
			b.Fatal(err)
		}
	}
	if len(out) > 0 {
		return out
	}
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	data, err := os.ReadFile(exe)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := exec.LookPath("xz"); err == nil {
		out["binary"] = compress(b, data, "-6")
		return out
	}
	var packed bytes.Buffer
	w, err := ulikunitz.WriterConfig{DictCap: 8 << 20}.NewWriter(&packed)
	if err != nil {
		b.Fatal(err)
	}
	w.Write(data)
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	out["binary"] = packed.Bytes()
	return out
}

// cpuTime returns what this process and its children have used.
func cpuTime(b *testing.B) time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

// BenchmarkDecode decodes each sample with all decoders in turn, so that a busy
// machine does them equal harm, and reports output per second of CPU time and
// how many times as fast as the others we are.
func BenchmarkDecode(b *testing.B) {
	decoders := []struct {
		name   string
		decode func(data []byte) (int64, error)
	}{
		{"ours", func(data []byte) (int64, error) {
			r, err := NewReader(bytes.NewReader(data))
			if err != nil {
				return 0, err
			}
			return r.WriteTo(io.Discard)
		}},
		{"therootcompany", func(data []byte) (int64, error) {
			r, err := reference.NewReader(bytes.NewReader(data), MaxDict)
			if err != nil {
				return 0, err
			}
			return io.Copy(io.Discard, r)
		}},
		{"liblzma", func(data []byte) (int64, error) {
			cmd := exec.Command("xz", "-dc")
			cmd.Stdin = bytes.NewReader(data)
			return 0, cmd.Run() // to /dev/null
		}},
	}
	if _, err := exec.LookPath("xz"); err != nil {
		decoders = decoders[:2]
	}
	for name, data := range samples(b) {
		b.Run(name, func(b *testing.B) {
			used := make([]time.Duration, len(decoders))
			var size int64
			for b.Loop() {
				for i, d := range decoders {
					before := cpuTime(b)
					n, err := d.decode(data)
					if err != nil {
						b.Fatal(d.name, err)
					}
					used[i] += cpuTime(b) - before
					size += n
				}
			}
			size /= 2 // counted by the first two
			for i, d := range decoders {
				b.ReportMetric(float64(size)/1e6/used[i].Seconds(), d.name+"-MB/cpu-s")
				if i > 0 {
					b.ReportMetric(used[i].Seconds()/used[0].Seconds(), "x-"+d.name)
				}
			}
		})
	}
}
