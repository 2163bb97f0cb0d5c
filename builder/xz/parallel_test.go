package xz

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// whole decodes data with a Reader.
func whole(data []byte) ([]byte, error) {
	r, err := NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// TestDecode compares Decode with a Reader: one block and several, several
// streams, padding, every check.
func TestDecode(t *testing.T) {
	plain := corpus(11, 700_000)
	one := compress(t, plain)
	files := map[string][]byte{
		"one block":    one,
		"seven blocks": compress(t, plain, "--block-size=100000"),
		"no check":     compress(t, plain, "--block-size=100000", "--check=none"),
		"sha256":       compress(t, plain, "--block-size=100000", "--check=sha256"),
		"sized blocks": compress(t, plain, "-T2", "--block-size=100000"),
		"two streams":  append(bytes.Clone(compress(t, plain, "--block-size=100000")), one...),
		"padded":       append(compress(t, plain, "--block-size=100000"), 0, 0, 0, 0),
		"empty":        compress(t, nil),
	}
	for name, data := range files {
		t.Run(name, func(t *testing.T) {
			want, err := whole(data)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(data, int64(len(want)))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes, %v; want %d bytes", len(got), err, len(want))
			}
			if len(want) == 0 {
				return
			}
			if _, err := Decode(data, int64(len(want))-1); !errors.Is(err, ErrLimit) {
				t.Errorf("above the limit: %v", err)
			}
		})
	}
	if list, err := locate(files["seven blocks"], 1<<30); err != nil || len(list) != 7 {
		t.Errorf("seven blocks: %d located, %v", len(list), err)
	}
}

// TestDecodeDamaged: what a Reader refuses, Decode refuses.
func TestDecodeDamaged(t *testing.T) {
	data := compress(t, corpus(12, 16_000), "-T2", "--block-size=5000")
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 0x11
		_, want := whole(bad)
		_, got := Decode(bad, 1<<30)
		if (want == nil) != (got == nil) {
			t.Fatalf("byte %d: reader %v, Decode %v", i, want, got)
		}
	}
	for i := range len(data) {
		if _, err := Decode(data[:i], 1<<30); err == nil {
			t.Fatalf("%d of %d bytes are taken for all", i, len(data))
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(compress(f, corpus(13, 30_000), "-T2", "--block-size=10000"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 22
		want, err := whole(data)
		if int64(len(want)) > limit {
			return
		}
		got, gotErr := Decode(data, limit)
		if (err == nil) != (gotErr == nil) || err == nil && !bytes.Equal(want, got) {
			t.Fatalf("reader %d bytes, %v; Decode %d bytes, %v", len(want), err, len(got), gotErr)
		}
	})
}
