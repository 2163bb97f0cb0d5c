package xz

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	ulikunitz "github.com/ulikunitz/xz"
)

// stream packs data in blocks of size bytes.
func stream(t testing.TB, e *Encoder, data []byte, size int) []byte {
	t.Helper()
	var x Index
	out := x.Header()
	for len(data) > 0 {
		n := min(size, len(data))
		at := len(out)
		out = e.Block(out, data[:n])
		if err := x.Add(out[at:]); err != nil {
			t.Fatal(err)
		}
		data = data[n:]
	}
	return append(out, x.Footer()...)
}

// kindsOfData are those of data that the encoder does something of its own
// with.
func kindsOfData() map[string][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 300_000)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	text := corpus(4, 700_000)
	nearly := bytes.Clone(noise[:200_000]) // what only coding shows to be noise
	for i := 0; i < len(nearly); i += 9 {
		nearly[i] = 'a'
	}
	return map[string][]byte{
		"nothing": nil, "a byte": {7}, "seven": []byte("sevensx"), "zeros": make([]byte, 5<<20),
		"corpus": corpus(3, 3<<20), "noise": noise, "short noise": noise[:1000],
		"noise first":  append(bytes.Clone(noise), text...),
		"noise last":   append(bytes.Clone(text), noise...),
		"noise within": bytes.Join([][]byte{text, noise, text}, nil),
		"noise twice":  bytes.Join([][]byte{text, noise, text[:100], noise, noise[7:]}, nil),
		"nearly noise": nearly,
		// Ranges of ones make carries run far back.
		"carries": bytes.Repeat([]byte{0xff, 0xff, 0xff, 0xfe, 0xff}, 100_000),
	}
}

func TestEncoderRoundTrip(t *testing.T) {
	e := new(Encoder) // one for all: nothing may be left of the block before
	for name, data := range kindsOfData() {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{MaxBlock, 200_001} {
				packed := stream(t, e, data, size)
				if !bytes.Equal(packed, stream(t, new(Encoder), data, size)) {
					t.Error("a used encoder packs otherwise than a new one")
				}
				if got, err := decodeAll(packed); err != nil || !bytes.Equal(got, data) {
					t.Errorf("blocks of %d: own decoder: %d of %d bytes, %v", size, len(got), len(data), err)
				}
				if got, err := Decode(packed, int64(len(data))); err != nil || !bytes.Equal(got, data) {
					t.Errorf("blocks of %d: own decoder, side by side: %d of %d bytes, %v", size, len(got), len(data), err)
				}
				other, err := ulikunitz.NewReader(bytes.NewReader(packed))
				if err != nil {
					t.Fatal(err)
				}
				var got bytes.Buffer
				if _, err := got.ReadFrom(other); err != nil || !bytes.Equal(got.Bytes(), data) {
					t.Errorf("blocks of %d: ulikunitz: %d of %d bytes, %v", size, got.Len(), len(data), err)
				}
				for _, args := range []string{"-dc", "-dc -T0"} {
					if got := compress(t, packed, strings.Fields(args)...); !bytes.Equal(got, data) {
						t.Errorf("blocks of %d: xz %s: %d of %d bytes", size, args, len(got), len(data))
					}
				}
			}
		})
	}
}

// What has been there before is packed by it, noise or not; noise alone grows
// by its headers only.
func TestEncoderOfNoise(t *testing.T) {
	s := kindsOfData()
	one := len(new(Encoder).Block(nil, s["noise"]))
	if n := len(s["noise"]); one > n+64 {
		t.Errorf("%d bytes of noise became %d", n, one)
	}
	if n := len(new(Encoder).Block(nil, bytes.Repeat(s["noise"], 4))); n > one+one/4 {
		t.Errorf("the same noise four times takes %d bytes, once %d", n, one)
	}
}

// It packs programs about as well as the fast levels of xz.
func TestEncoderRatio(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := len(stream(t, new(Encoder), data, MaxBlock)), len(compress(t, data, "-1", "-T1"))
	t.Logf("%d bytes: %d, xz -1 %d", len(data), ours, theirs)
	if ours > theirs+theirs/50 {
		t.Errorf("%d bytes of a program became %d, by xz -1 %d", len(data), ours, theirs)
	}
}

// The index tells xz where the blocks are.
func TestIndexIsListed(t *testing.T) {
	if _, err := exec.LookPath("xz"); err != nil {
		skip(t, "needs xz")
	}
	file := t.TempDir() + "/a.xz"
	if err := os.WriteFile(file, stream(t, new(Encoder), corpus(5, 1<<20), 300_000), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("xz", "--robot", "--list", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\nfile\t1\t4\t") {
		t.Errorf("xz lists not one stream of four blocks: %v\n%s", err, out)
	}
}

func TestIndexRefuses(t *testing.T) {
	var x Index
	block := new(Encoder).Block(nil, []byte("data"))
	block[5] ^= 1
	if x.Add(block) == nil || x.Add(nil) == nil {
		t.Error("the index took a block that is none")
	}
}

func FuzzEncoder(f *testing.F) {
	for _, data := range kindsOfData() {
		f.Add(data[:min(len(data), 5000)], uint16(3000))
	}
	f.Add(bytes.Repeat([]byte("abcdefgh"), 100), uint16(77))
	e := new(Encoder)
	f.Fuzz(func(t *testing.T, data []byte, size uint16) {
		packed := stream(t, e, data, int(size)+1)
		if got, err := decodeAll(packed); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d of %d bytes, %v", len(got), len(data), err)
		}
	})
}

// plainEnv names a file to pack in place of made-up data.
const plainEnv = "CLOUDY_XZ_PLAIN"

func BenchmarkEncoder(b *testing.B) {
	data := corpus(3, 8<<20)
	if name := os.Getenv(plainEnv); name != "" {
		var err error
		if data, err = os.ReadFile(name); err != nil {
			b.Fatal(err)
		}
	}
	e, packed := new(Encoder), 0
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		packed = len(stream(b, e, data, MaxBlock))
	}
	b.ReportMetric(float64(packed)/float64(len(data)), "ratio")
}
