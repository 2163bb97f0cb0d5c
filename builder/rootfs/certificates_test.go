package rootfs

import (
	"os/exec"
	"strings"
	"testing"
)

// TestQuickCertConfig: the questions of the config script have the same
// answers without grep.
func TestQuickCertConfig(t *testing.T) {
	ask := "if (echo \"$CERTS_DISABLED\" | grep -F -q -x \"$crt\") > /dev/null 2>&1; then\necho disabled\n" +
		"elif (echo \"$CERTS_TRUST\" | grep -F -q -x \"$crt\") > /dev/null 2>&1; then\necho trusted\nelse\necho new\nfi\n"
	slow := "#!/bin/sh\nset -e\nCERTS_DISABLED=$1 CERTS_TRUST=$2 crt=$3\n" + ask
	quick := string(quickCertConfig([]byte(slow)))
	if !strings.Contains(quick, "cloudy_listed \"$CERTS_TRUST\" \"$crt\"; then") || strings.Contains(quick, "CERTS_TRUST\" |") {
		t.Fatalf("not quick:\n%s", quick)
	}
	answer := func(script string, args []string) string {
		out, err := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	for _, args := range [][]string{
		{"", "", "a.crt"},
		{"a.crt", "", "a.crt"},
		{"b.crt\na.crt\nc.crt", "", "a.crt"},
		{"", "b.crt\na.crt", "a.crt"},
		{"aa.crt\na.crt.x", "xa.crt", "a.crt"},
		{"a?crt", "*.crt", "a.crt"},
		{"a b.crt", "", "b.crt"},
		{"", `x\na.crt`, "a.crt"},
		{"", `a\\b.crt`, `a\b.crt`},
		{"", "NetLock_Főtanúsítvány.crt", "NetLock_Főtanúsítvány.crt"},
		{"", "a.crt\n\nb.crt", "b.crt"},
	} {
		if want, got := answer(slow, args), answer(quick, args); got != want {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
	for name, script := range map[string]string{
		"other words": strings.Replace(slow, "grep -F -q -x", "grep -F -x -q", 1), "asked twice": slow + ask, "another shell": strings.TrimPrefix(slow, "#!/bin/sh\n"), "nothing": "",
	} {
		if quickCertConfig([]byte(script)) != nil {
			t.Errorf("%s: changed", name)
		}
	}
}
