package rootfs

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// someArchive is several blocks of text that gzip finds something in.
func someArchive() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < 5*packBlock/2 {
		b.WriteString([]string{"module ", "firmware ", "alias ", "\n"}[r.IntN(4)])
		b.WriteByte(byte(r.Uint32()))
	}
	return b.Bytes()
}

func TestPackIsTheSameOnAnyCores(t *testing.T) {
	data := someArchive()
	var want []byte
	for _, cores := range []int{1, 2, 5} {
		old := runtime.GOMAXPROCS(cores)
		var out bytes.Buffer
		err := pack(&out, bytes.NewReader(data))
		runtime.GOMAXPROCS(old)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = out.Bytes()
		}
		if !bytes.Equal(out.Bytes(), want) {
			t.Errorf("%d cores: other bytes", cores)
		}
	}
	cmd := exec.Command("gzip", "-dc")
	cmd.Stdin = bytes.NewReader(want)
	if got, err := cmd.Output(); err != nil || !bytes.Equal(got, data) {
		t.Errorf("gzip reads %d bytes of %d: %v", len(got), len(data), err)
	}
	// As gzip -n: no name, no time.
	if flags, mtime := want[3], want[4:8]; flags != 0 || !bytes.Equal(mtime, []byte{0, 0, 0, 0}) {
		t.Errorf("header: flags %x, time %x", flags, mtime)
	}
}

// standInAt is the stand-in with its paths at p's pipes.
func standInAt(t *testing.T, p *packing) string {
	t.Helper()
	script := strings.NewReplacer(packPipe, p.pipe(packPipe), gzipPipe, p.pipe(gzipPipe), realGzip, "/bin/gzip").Replace(string(packer))
	path := filepath.Join(t.TempDir(), "gzip")
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPacking(t *testing.T) {
	p, err := startPacking()
	if err != nil {
		t.Fatal(err)
	}
	gz, data := standInAt(t, p), someArchive()
	for _, args := range [][]string{{"-n", "-c"}, {"-1"}, {"-n", "-c"}} { // the second is for the real one
		cmd := exec.Command(gz, args...)
		cmd.Stdin = bytes.NewReader(data)
		packed, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%v: %d bytes of %d: %v", args, len(got), len(data), err)
		}
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(p.dir); !os.IsNotExist(err) {
		t.Errorf("pipes stay: %v", err)
	}
}

// TestPackingEnds stops it wherever somebody left it.
func TestPackingEnds(t *testing.T) {
	for name, leave := range map[string]func(t *testing.T, p *packing, gz string){
		"nobody came": func(*testing.T, *packing, string) {},
		"sent nothing and read nothing": func(t *testing.T, p *packing, _ string) {
			f, err := os.OpenFile(p.pipe(packPipe), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
		},
		"read no answer": func(t *testing.T, p *packing, gz string) {
			cmd := exec.Command("sh", "-c", `"$0" -n -c | head -c 10`, gz)
			cmd.Stdin = bytes.NewReader(someArchive())
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := startPacking()
			if err != nil {
				t.Fatal(err)
			}
			leave(t, p, standInAt(t, p))
			if err := p.stop(); err != nil {
				t.Error(err)
			}
		})
	}
}
