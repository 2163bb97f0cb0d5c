package meshtest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// buildSpecial builds the agent as the tests want it: it dies at the steps of
// its writes (tag crashtest, see durable), and its clock is what
// CLOUDY_TEST_CLOCK says, in seconds beside the true one. A static program asks
// the kernel's vDSO for the time, where no library and no namespace gets in
// between; so it is time.Now itself that is another, the agent's code is all
// as it is.
var buildSpecial = sync.OnceValues(func() (string, error) {
	dir, err := binDir()
	if err != nil {
		return "", err
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	src := filepath.Join(strings.TrimSpace(string(goroot)), "src/time/time.go")
	text, err := os.ReadFile(src)
	if err != nil {
		return "", err
	}
	const call = "sec, nsec, mono := runtimeNow()\n"
	head, tail, ok := strings.Cut(string(text), "func Now() Time {\n\t"+call)
	if !ok {
		return "", os.ErrInvalid
	}
	changed := head + `var testClock = func() (v int64) {
	text, _ := syscall.Getenv("CLOUDY_TEST_CLOCK")
	for _, c := range text {
		v = v*10 + int64(c-'0')
	}
	return -v
}()

func Now() Time {
	` + call + "\tsec += testClock\n" + tail
	changed = strings.Replace(changed, "import (\n", "import (\n\t\"syscall\"\n", 1)
	mine := filepath.Join(dir, "time.go")
	if err := os.WriteFile(mine, []byte(changed), 0o644); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{src: mine}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o644); err != nil {
		return "", err
	}
	return build("cloudy-node-special", "-tags", "crashtest", "-overlay", file)
})

// special is the agent of buildSpecial.
func special(t *testing.T) string {
	t.Helper()
	bin, err := buildSpecial()
	if err != nil {
		t.Fatal("build the agent with a clock of its own: ", err)
	}
	return bin
}
