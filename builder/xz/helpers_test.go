package xz

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
)

// skip skips the test, or fails it where everything must be there.
func skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// compress runs the host's xz over data.
func compress(t testing.TB, data []byte, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("xz"); err != nil {
		skip(t, "needs xz")
	}
	cmd := exec.Command("xz", append([]string{"-c"}, args...)...)
	cmd.Stdin = bytes.NewReader(data)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("xz %v: %v %s", args, err, &stderr)
	}
	return out
}

// corpus makes n bytes of the kinds of data that lead through all parts of the
// decoder: words, records, patterns of every short distance, long runs, copies
// from far away, noise.
func corpus(seed uint64, n int) []byte {
	rnd := rand.New(rand.NewPCG(seed, 7))
	out := make([]byte, 0, n+70000)
	words := make([]string, 300)
	for i := range words {
		w := make([]byte, 2+rnd.IntN(9))
		for j := range w {
			w[j] = "etaoinshrdlucmfw"[min(rnd.IntN(16), rnd.IntN(16))]
		}
		words[i] = string(w)
	}
	for len(out) < n {
		switch size := 1 + rnd.IntN(3000); rnd.IntN(7) {
		case 0, 1:
			for range size / 5 {
				out = append(out, words[min(rnd.IntN(300), rnd.IntN(300))]...)
				out = append(out, ' ')
			}
		case 2:
			for i := range size / 12 {
				out = fmt.Appendf(out, "%04x\x00\x00%c%c\xff\x00\x00", i*7, rnd.IntN(4), rnd.IntN(256))
			}
		case 3:
			period := 1 + rnd.IntN(24)
			for i := range size {
				if i < period || rnd.IntN(300) == 0 {
					out = append(out, byte(rnd.Uint32()))
				} else {
					out = append(out, out[len(out)-period])
				}
			}
		case 4:
			out = append(out, bytes.Repeat([]byte{byte(rnd.IntN(3))}, size*rnd.IntN(20))...)
		case 5:
			if len(out) > 0 {
				from := rnd.IntN(len(out))
				out = append(out, out[from:min(from+size, len(out))]...)
			}
		case 6:
			for range size / 4 {
				out = append(out, byte(rnd.Uint32()))
			}
		}
	}
	return out[:n]
}

// decodeAll decodes an .xz file.
func decodeAll(data []byte) ([]byte, error) {
	r, err := NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	n, err := r.WriteTo(&out)
	if err == nil && n != int64(out.Len()) {
		err = fmt.Errorf("WriteTo returned %d for %d bytes", n, out.Len())
	}
	return out.Bytes(), err
}

// decodeReads decodes it by Read with slices of odd sizes.
func decodeReads(r io.Reader) ([]byte, error) {
	var out []byte
	buf := make([]byte, 70001)
	for size := 1; ; size = size*3%len(buf) + 1 {
		n, err := r.Read(buf[:size])
		out = append(out, buf[:n]...)
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
	}
}
