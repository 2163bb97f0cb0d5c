package recipe

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// TestFunctions evaluates expressions; the answers are Terraform's.
func TestFunctions(t *testing.T) {
	fsys := fstest.MapFS{
		"a.hcl": {Data: []byte(debian)}, "motd.tpl": {Data: []byte("%{ for n in names ~}\n${upper(n)}\n%{ endfor ~}")},
		"keys/a.pub": {Data: []byte("A\n")}, "keys/b.pub": {Data: []byte("B\n")}, "keys/deep/c.pub": {Data: []byte("C")},
		"bin": {Data: []byte{0xff, 0xfe}}, "include.tpl": {Data: []byte(`${templatefile("motd.tpl", {})}`)}, "one.tpl": {Data: []byte("${x}")},
		"vars.tpl": {Data: []byte("${y}")},
	}
	m, diags := Load(t.Context(), NewSource(fsys, ""), Options{})
	if diags.HasErrors() {
		t.Fatal(m.Err(diags))
	}
	ctx := m.newScope("amd64").context()
	for _, c := range []struct{ expr, want string }{
		{`abs(-3)`, `3`}, {`ceil(1.2)`, `2`}, {`coalesce(null, "a")`, `"a"`}, {`concat(["a"], ["b"])`, `["a", "b"]`},
		{`contains(["a"], "a")`, `true`}, {`distinct(["a", "a"])`, `["a"]`}, {`element(["a", "b"], 3)`, `"b"`},
		{`flatten([["a"], ["b"]])`, `["a", "b"]`}, {`format("%s-%02d", "a", 3)`, `"a-03"`},
		{`formatdate("YYYY", "2026-01-02T00:00:00Z")`, `"2026"`}, {`formatlist("%s!", ["a"])`, `["a!"]`},
		{`indent(2, "a\nb")`, `"a\n  b"`}, {`join(",", ["a", "b"])`, `"a,b"`}, {`jsondecode("{\"a\":1}").a`, `1`},
		{`jsonencode({a = 1})`, `"{\"a\":1}"`}, {`keys({b = 1, a = 2})`, `["a", "b"]`}, {`length("häh")`, `3`},
		{`length([1, 2])`, `2`}, {`length({a = 1})`, `1`}, {`lookup({a = 1}, "b", 2)`, `2`}, {`lookup({a = 1}, "a")`, `1`},
		{`lower("A")`, `"a"`}, {`merge({a = 1}, {b = 2}).b`, `2`}, {`range(3)`, `[0, 1, 2]`},
		{`regex("[a-z]+", "12ab")`, `"ab"`}, {`replace("a.b", ".", "-")`, `"a-b"`}, {`replace("a1b2", "/[0-9]/", "")`, `"ab"`},
		{`reverse(["a", "b"])`, `["b", "a"]`}, {`setunion(["a"], ["b"])`, `["a", "b"]`}, {`sort(["b", "a"])`, `["a", "b"]`},
		{`split(",", "a,b")`, `["a", "b"]`}, {`substr("hello", 1, 2)`, `"el"`}, {`title("a b")`, `"A B"`}, {`trimspace(" a ")`, `"a"`},
		{`trimprefix("aab", "a")`, `"ab"`}, {`trimsuffix("aab", "b")`, `"aa"`}, {`upper("a")`, `"A"`}, {`values({b = 1, a = 2})`, `[2, 1]`},
		{`zipmap(["a"], [1]).a`, `1`}, {`base64encode("a")`, `"YQ=="`}, {`base64decode("YQ==")`, `"a"`},
		{`sha256("")`, `"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"`},
		{`md5("")`, `"d41d8cd98f00b204e9800998ecf8427e"`}, {`try(jsondecode("x"), 1)`, `1`}, {`can(jsondecode("x"))`, `false`},
		{`cidrhost("10.12.112.0/20", 16)`, `"10.12.112.16"`}, {`cidrhost("10.12.112.0/20", 268)`, `"10.12.113.12"`}, {`cidrhost("10.0.0.0/24", -1)`, `"10.0.0.255"`},
		{`cidrsubnet("172.16.0.0/12", 4, 2)`, `"172.18.0.0/16"`}, {`cidrsubnet("10.1.2.0/24", 4, 15)`, `"10.1.2.240/28"`},
		{`cidrsubnet("fd00:fd12:3456:7890::/56", 16, 162)`, `"fd00:fd12:3456:7800:a200::/72"`}, {`cidrnetmask("172.16.0.0/12")`, `"255.240.0.0"`},
		{`uuidv5("dns", "www.terraform.io")`, `"a5008fae-b28c-5ba5-96cd-82b4c53552d6"`}, {`startswith("abc", "ab")`, `true`}, {`endswith("abc", "ab")`, `false`},
		{`alltrue([true, false])`, `false`}, {`anytrue([true, false])`, `true`}, {`sum([1, 2])`, `3`}, {`one([])`, `null`},
		{`file("keys/a.pub")`, `"A\n"`}, {`chomp(file("./keys/b.pub"))`, `"B"`}, {`fileexists("keys/x.pub")`, `false`}, {`fileexists("keys/a.pub")`, `true`},
		{`fileset("keys", "*.pub")`, `["a.pub", "b.pub"]`}, {`fileset(".", "**/*.pub")`, `["keys/a.pub", "keys/b.pub", "keys/deep/c.pub"]`},
		{`filebase64("bin")`, `"//4="`}, {`templatefile("motd.tpl", { names = ["a", "b"] })`, `"A\nB\n"`}, {`templatefile("one.tpl", { x = 1 })`, `"1"`},
		{`[for f in fileset("keys", "*.pub") : chomp(file("keys/${f}"))]`, `["A", "B"]`}, {`arch`, `"amd64"`},
		{`"${sensitive("a")}"`, `"a"`},
	} {
		expr, diags := hclsyntax.ParseExpression([]byte(c.expr), "test", hcl.InitialPos)
		if diags.HasErrors() {
			t.Errorf("%s: %v", c.expr, diags)
			continue
		}
		v, diags := expr.Value(ctx)
		if diags.HasErrors() {
			t.Errorf("%s: %v", c.expr, diags)
			continue
		}
		if got := hclText(v); got != c.want {
			t.Errorf("%s: got %s, want %s", c.expr, got, c.want)
		}
	}
	for _, c := range []struct{ expr, want string }{
		{`file("nothing")`, "nothing: file does not exist"}, {`file("bin")`, "not text"}, {`file("keys")`, "keys"},
		{`templatefile("include.tpl", {})`, "no function named \"templatefile\""}, {`templatefile("vars.tpl", {})`, `uses "y"`},
		{`templatefile("one.tpl", "x")`, "need a map"}, {`cidrhost("10.0.0.0/30", 4)`, "does not fit"}, {`cidrsubnet("10.0.0.0/30", 3, 0)`, "not so many bits"},
		{`cidrhost("x", 1)`, "need an address"}, {`lookup({}, "a")`, `no key "a"`}, {`one([1, 2])`, "one element or none"}, {`base64decode("//4=")`, "not text"},
		{`length(1)`, "not a number"}, {`timestamp()`, "no function"}, {`uuid()`, "no function"},
	} {
		expr, _ := hclsyntax.ParseExpression([]byte(c.expr), "test", hcl.InitialPos)
		if v, diags := expr.Value(ctx); !diags.HasErrors() || !strings.Contains(diags.Error(), c.want) {
			t.Errorf("%s: got %#v %v, want an error with %q", c.expr, v, diags, c.want)
		}
	}
}

func TestParsePackage(t *testing.T) {
	for in, want := range map[string]Package{
		"tinc":           {Name: "tinc"},
		"-tinc":          {Name: "tinc", drop: true},
		"g++":            {Name: "g++"},
		"libc6:arm64":    {Name: "libc6", Arch: "arm64"},
		"vim=2:9.1-1":    {Name: "vim", Version: "2:9.1-1"},
		"vim:armhf=1~a1": {Name: "vim", Arch: "armhf", Version: "1~a1"},
		"asterisk/forky": {Name: "asterisk", Suite: "forky"},
	} {
		got, err := parsePackage(in)
		if err != nil || got != want || got.String() != in {
			t.Errorf("%s: %+v %v", in, got, err)
		}
	}
	for _, in := range []string{"", "-", "x", "Tinc", "a b", "tinc=", "tinc/", "tinc:", "tinc=1/x", "-tinc=1", "tinc:mips", "tinc=1:a", "-tinc/x", "--tinc", "tinc/../x"} {
		if got, err := parsePackage(in); err == nil {
			t.Errorf("%q: accepted as %+v", in, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{
		"1": 1, "512": 512, "8GiB": 8 << 30, "8G": 8 << 30, "8GB": 8e9, "1.5MiB": 3 << 19, "2T": 2 << 40, "100KB": 100000, "7B": 7,
	} {
		if got, err := parseSize(in); got != want || err != nil {
			t.Errorf("%s: %d %v", in, got, err)
		}
	}
	for _, in := range []string{"", "0", "-1G", "G", "1e3", "0x10", "8 GiB", "8gib", "8iB", "NaN", "inf", "99999999T", "1_000"} {
		if got, err := parseSize(in); err == nil {
			t.Errorf("%q: accepted as %d", in, got)
		}
	}
}
