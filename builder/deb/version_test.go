package deb

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// need skips a test for a missing tool, or fails it where all are required.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
				t.Fatalf("needs %s", tool)
			}
			t.Skipf("needs %s", tool)
		}
	}
}

func sign(n int) int { return min(1, max(-1, n)) }

func TestCompareVersions(t *testing.T) {
	for _, c := range []struct {
		a    string
		want int
		b    string
	}{
		{"1.0", 0, "1.0"},
		{"1.0", 0, "0:1.0-0"},
		{"1.0", -1, "1.0-1"},
		{"1.0~rc1", -1, "1.0"},
		{"1.0~~", -1, "1.0~"},
		{"1.0~rc1-1", -1, "1.0-1"},
		{"1.0a", -1, "1.0+"},
		{"1.0", -1, "1.0a"},
		{"1.9", -1, "1.10"},
		{"1.001", 0, "1.1"},
		{"2:0.1", 1, "1:99"},
		{"1:1.0", 1, "2.0"},
		{"1.2-3-4", 1, "1.2-3"},
		{"99999999999999999999999", -1, "100000000000000000000000"},
		{"3.0.3", 1, "2.6.2"},
		{"1.0-1+deb13u1", 1, "1.0-1"},
		{"1.0-1~bpo13+1", -1, "1.0-1"},
		{"", -1, "1"},
		{"a.b", 1, "ab"},
	} {
		if got := sign(CompareVersions(c.a, c.b)); got != c.want {
			t.Errorf("CompareVersions(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := sign(CompareVersions(c.b, c.a)); got != -c.want {
			t.Errorf("CompareVersions(%q, %q) = %d, want %d", c.b, c.a, got, -c.want)
		}
	}
}

// TestCompareVersionsLikeDpkg compares with dpkg itself, a process a pair, and
// with dpkg's Perl module, which answers thousands of pairs in one process.
func TestCompareVersionsLikeDpkg(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pairs := make([][2]string, 0, 20000)
	for len(pairs) < cap(pairs) {
		a := randomVersion(rng)
		b := randomVersion(rng)
		if rng.IntN(2) == 0 { // near misses say more than strangers
			b = mutateVersion(rng, a)
		}
		if ValidVersion(a) == nil && ValidVersion(b) == nil {
			pairs = append(pairs, [2]string{a, b})
		}
	}
	check := func(who string, pairs [][2]string, out []byte) {
		lines := strings.Fields(string(out))
		if len(lines) != len(pairs) {
			t.Fatalf("%s answered %d of %d pairs", who, len(lines), len(pairs))
		}
		for i, p := range pairs {
			if got := fmt.Sprint(sign(CompareVersions(p[0], p[1]))); got != lines[i] {
				t.Errorf("CompareVersions(%q, %q) = %s, %s says %s", p[0], p[1], got, who, lines[i])
			}
		}
	}
	t.Run("dpkg", func(t *testing.T) {
		need(t, "dpkg", "sh")
		few := pairs[:300]
		cmd := exec.Command("sh", "-c", `while read -r a b; do
			if dpkg --compare-versions "$a" lt "$b"; then echo -1
			elif dpkg --compare-versions "$a" eq "$b"; then echo 0
			else echo 1; fi; done 2>/dev/null`)
		cmd.Stdin = pairLines(few)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		check("dpkg", few, out)
	})
	t.Run("libdpkg-perl", func(t *testing.T) {
		need(t, "perl")
		if exec.Command("perl", "-MDpkg::Version", "-e", "1").Run() != nil {
			need(t, "dpkg-parsechangelog") // of the same Debian package as the Perl module
		}
		cmd := exec.Command("perl", "-MDpkg::Version", "-ne", `my ($x, $y) = split; print version_compare($x, $y), "\n"`)
		cmd.Stdin = pairLines(pairs)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err, string(err.(*exec.ExitError).Stderr))
		}
		check("Dpkg::Version", pairs, out)
	})
}

func pairLines(pairs [][2]string) *bytes.Buffer {
	var b bytes.Buffer
	for _, p := range pairs {
		fmt.Fprintln(&b, p[0], p[1])
	}
	return &b
}

func randomVersion(rng *rand.Rand) string {
	const alphabet = "0001123459abzAZ.+~-~.."
	b := []byte{byte('0' + rng.IntN(10))}
	for range rng.IntN(10) {
		b = append(b, alphabet[rng.IntN(len(alphabet))])
	}
	if rng.IntN(5) == 0 {
		return fmt.Sprintf("%d:%s", rng.IntN(3), b)
	}
	return string(b)
}

func mutateVersion(rng *rand.Rand, v string) string {
	const alphabet = "019az.+~-"
	i := rng.IntN(len(v))
	c := string(alphabet[rng.IntN(len(alphabet))])
	switch rng.IntN(3) {
	case 0:
		return v[:i] + c + v[i:]
	case 1:
		return v[:i] + v[i+1:]
	}
	return v[:i] + c + v[i+1:]
}

func TestValidVersionLikeDpkg(t *testing.T) {
	valid := []string{"1", "1.0", "1:2:3", "1-2-3", "2147483647:1", "1~", "1.0-1+b1"}
	invalid := []string{"v1", "1-", "-1", ":", "0:", "a:1", "1_2", "1 2", "99999999999:1", "2147483648:1", "1-a_", "", "1:", ":1", "1.0-1:1_", "1/2"}
	for _, v := range valid {
		if err := ValidVersion(v); err != nil {
			t.Errorf("ValidVersion(%q): %v", v, err)
		}
	}
	for _, v := range invalid {
		if ValidVersion(v) == nil {
			t.Errorf("ValidVersion(%q) finds nothing wrong", v)
		}
	}
	need(t, "dpkg")
	for _, v := range append(valid, invalid...) {
		dpkg := exec.Command("dpkg", "--validate-version", v).Run()
		if ours := ValidVersion(v); (ours == nil) != (dpkg == nil) {
			t.Errorf("ValidVersion(%q) = %v, dpkg says %v", v, ours, dpkg)
		}
	}
}

// FuzzCompareVersions checks that the order is one: antisymmetric, reflexive,
// transitive.
func FuzzCompareVersions(f *testing.F) {
	f.Add("1.0", "1:1.0-1", "1.0~rc1")
	f.Add("1.0+b1", "1.0", "0")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if CompareVersions(a, a) != 0 {
			t.Fatalf("%q differs from itself", a)
		}
		ab, bc, ac := sign(CompareVersions(a, b)), sign(CompareVersions(b, c)), sign(CompareVersions(a, c))
		if ab != -sign(CompareVersions(b, a)) {
			t.Fatalf("order of %q and %q depends on the side", a, b)
		}
		if ab <= 0 && bc <= 0 && ac > 0 || ab >= 0 && bc >= 0 && ac < 0 {
			t.Fatalf("order of %q, %q, %q is not transitive", a, b, c)
		}
	})
}
