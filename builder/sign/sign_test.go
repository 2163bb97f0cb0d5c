package sign

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloudy/builder/report"
)

func needMinisign(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("minisign"); err != nil {
		if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal("minisign is not installed")
		}
		t.Skip("minisign is not installed")
	}
}

// program runs the real program.
func program(t *testing.T, stdin string, args ...string) error {
	t.Helper()
	c := exec.Command("minisign", args...)
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("minisign %v: %w\n%s", args, err, out)
	}
	return nil
}

func noPassword() (string, error) { return "", errors.New("asked for a password") }

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// newKey makes a key pair without a password and returns its path.
func newKey(t *testing.T, dir string) (Secret, string) {
	t.Helper()
	k, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, k.Public().ID()+".key")
	if err := k.WriteKeys(path, ""); err != nil {
		t.Fatal(err)
	}
	return k, path
}

// TestMinisign has the real program verify what we sign, and the other way
// round, with keys of either and with a password.
func TestMinisign(t *testing.T) {
	needMinisign(t)
	at := time.Unix(1760000000, 0)
	for _, c := range []struct {
		name, password string
		theirs         bool
	}{{"our key", "", false}, {"our key with password", "pass word", false}, {"their key", "", true}, {"their key with password", "geheim", true}} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			key := filepath.Join(dir, "k")
			var secret Secret
			if c.theirs {
				args := []string{"-G", "-p", key + ".pub", "-s", key}
				if c.password == "" {
					args = append(args, "-W")
				}
				if err := program(t, c.password+"\n"+c.password+"\n", args...); err != nil {
					t.Fatal(err)
				}
			} else {
				var err error
				if secret, err = Generate(); err == nil {
					err = secret.WriteKeys(key, c.password)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			// scrypt takes seconds: each of the two reads a key of the other alone.
			if c.theirs || c.password == "" {
				asked := 0
				var err error
				secret, err = ReadSecret(key, func() (string, error) { asked++; return c.password, nil })
				if err != nil || (asked == 1) != (c.password != "") {
					t.Fatalf("%v, asked %d times", err, asked)
				}
			}
			public, err := ReadPublic(key + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			if public.String() != secret.Public().String() {
				t.Error("the two keys are no pair")
			}
			if same, err := ReadPublic(public.String()); err != nil || same.String() != public.String() {
				t.Errorf("the key itself as argument: %v", err)
			}
			ours, theirs := write(t, filepath.Join(dir, "ours"), "what we sign\n"), write(t, filepath.Join(dir, "theirs"), "what they sign\n")
			if err := secret.File(ours, at); err != nil {
				t.Fatal(err)
			}
			for _, m := range [][]string{{"-Vm", ours, "-p", key + ".pub"}, {"-VHm", ours, "-P", public.String()}} {
				if err := program(t, "", m...); err != nil {
					t.Error(err)
				}
			}
			if !c.theirs || c.password == "" {
				if err := program(t, c.password+"\n", "-S", "-s", key, "-m", theirs, "-t", "hello there"); err != nil {
					t.Fatal(err)
				}
				if comment, err := VerifyFile(theirs, public); err != nil || comment != "hello there" {
					t.Errorf("%q, %v", comment, err)
				}
			}
			write(t, ours, "something else\n")
			if err := program(t, "", "-Vm", ours, "-p", key+".pub"); err == nil {
				t.Error("minisign does not mind a changed file")
			}
			if _, err := VerifyFile(ours, public); !errors.Is(err, ErrSignature) {
				t.Errorf("a changed file: %v", err)
			}
		})
	}
}

func TestBadSignatures(t *testing.T) {
	dir := t.TempDir()
	k, path := newKey(t, dir)
	other, _ := newKey(t, dir)
	if err := k.WriteKeys(path, ""); err == nil {
		t.Error("keys are overwritten")
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the secret key: %v, %v", st.Mode(), err)
	}
	good, err := k.Sign(strings.NewReader("data"), "comment")
	if err != nil {
		t.Fatal(err)
	}
	again, err := k.Sign(strings.NewReader("data"), "comment")
	if err != nil || string(again) != string(good) {
		t.Error("the same signature is another one")
	}
	if c, err := Verify(strings.NewReader("data"), good, other.Public(), k.Public()); err != nil || c != "comment" {
		t.Fatalf("%q, %v", c, err)
	}
	for name, c := range map[string]struct {
		data, sig string
		keys      []Public
	}{
		"other data":    {"datb", string(good), []Public{k.Public()}},
		"other key":     {"data", string(good), []Public{other.Public()}},
		"no key":        {"data", string(good), nil},
		"other comment": {"data", strings.Replace(string(good), "comment: comment", "comment: changed", 1), []Public{k.Public()}},
		"cut":           {"data", string(good[:len(good)-5]), []Public{k.Public()}},
		"empty":         {"data", "", []Public{k.Public()}},
		"nonsense":      {"data", "a\nb\nc\nd\n", []Public{k.Public()}},
	} {
		if _, err := Verify(strings.NewReader(c.data), []byte(c.sig), c.keys...); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := k.Sign(strings.NewReader(""), "two\nlines"); err == nil {
		t.Error("a comment of two lines")
	}
	for _, text := range []string{"", "nonsense", "untrusted comment: x\nRWQ", string(k.Public().Text())} {
		if _, err := ParseSecret([]byte(text), noPassword); err == nil {
			t.Errorf("a secret key: %q", text)
		}
	}
	for _, text := range []string{"", "nonsense", "untrusted comment: x\nRWQ"} {
		if _, err := ParsePublic(text); err == nil {
			t.Errorf("a public key: %q", text)
		}
	}
}

// TestCheck verifies a folder as a build leaves it, and spoils it.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		path  string // "" is the folder
		want  error
		files int
	}{
		{name: "folder", files: 2},
		{name: "checksums", path: "node.SHA256SUMS", files: 2},
		{name: "file", path: "node.raw", files: 1},
		{name: "file with signature", path: "extra"},
		{name: "changed", want: report.ErrSum, spoil: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "node.raw"), "RAW") }},
		{name: "changed file", path: "node.raw", want: report.ErrSum, spoil: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "node.raw"), "RAW") }},
		{name: "another one changed", path: "node.qcow2", files: 1, spoil: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "node.raw"), "RAW") }},
		{name: "gone", want: os.ErrNotExist, spoil: func(_ *testing.T, dir string) { os.Remove(filepath.Join(dir, "node.raw")) }},
		{name: "unsigned", want: ErrSignature, spoil: func(_ *testing.T, dir string) { os.Remove(filepath.Join(dir, "node.SHA256SUMS.minisig")) }},
		{name: "unsigned sums beside", want: ErrSignature, spoil: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "other.SHA256SUMS"), "") }},
		{name: "sums changed", want: ErrSignature, spoil: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "node.SHA256SUMS"), "") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			k, _ := newKey(t, t.TempDir())
			var files []report.File
			for _, f := range []string{"node.raw", "node.qcow2"} {
				write(t, filepath.Join(dir, f), f)
				sum, err := report.Sum(f, strings.NewReader(f))
				if err != nil {
					t.Fatal(err)
				}
				files = append(files, sum)
			}
			write(t, filepath.Join(dir, "extra"), "extra")
			var b strings.Builder
			if err := report.WriteSums(&b, files); err != nil {
				t.Fatal(err)
			}
			sums := write(t, filepath.Join(dir, "node.SHA256SUMS"), b.String())
			for _, f := range []string{sums, filepath.Join(dir, "extra")} {
				if err := k.File(f, time.Unix(1, 0)); err != nil {
					t.Fatal(err)
				}
			}
			if c.spoil != nil {
				c.spoil(t, dir)
			}
			got, err := Check(context.Background(), filepath.Join(dir, c.path), k.Public())
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if err == nil && (len(got) != 1 || len(got[0].Files) != c.files) {
				t.Errorf("%+v", got)
			}
		})
	}
	if _, err := Check(context.Background(), write(t, filepath.Join(t.TempDir(), "lonely"), "")); err == nil {
		t.Error("a file without any signature")
	}
}
