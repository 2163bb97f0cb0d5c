package sdcard

import (
	"fmt"
	"strings"

	"cloudy/builder/deb"
	"cloudy/builder/fail"
	"cloudy/builder/tree"
)

// Words are the words that a board's texts may hold, without "@boot." and "@".
func Words() []string {
	return []string{"arguments", "console", "consoles", "extra", "initrd", "kernel", "partuuid", "root", "version"}
}

// words are the values of Words for one card.
func (c *card) words() *strings.Replacer {
	console := ""
	for _, name := range c.b.Consoles {
		console += " console=" + name
	}
	console = strings.TrimSpace(console)
	extra := strings.Join(append(append([]string{}, c.b.Arguments...), c.KernelArgs...), " ")
	values := map[string]string{
		"root": "UUID=" + c.ID("sdcard root filesystem").String(), "partuuid": c.rootPartUUID(),
		"version": c.kernel.version, "kernel": "vmlinuz-" + c.kernel.version, "initrd": "initrd.img-" + c.kernel.version,
		"consoles": strings.Join(c.b.Consoles, " "), "console": console, "extra": extra,
	}
	values["arguments"] = strings.Join(strings.Fields(strings.Join([]string{"root=" + values["root"], "ro", console, extra}, " ")), " ")
	var pairs []string
	for _, name := range Words() {
		pairs = append(pairs, "@boot."+name+"@", values[name])
	}
	return strings.NewReplacer(pairs...)
}

// kernel is the root's kernel.
type kernel struct{ version string }

// findKernel takes the newest kernel of the root; it must have an initramfs.
func findKernel(t *tree.Tree) (kernel, error) {
	const prefix = "boot/vmlinuz-"
	var k kernel
	for i := range t.Entries {
		v, ok := strings.CutPrefix(t.Entries[i].Path, prefix)
		if ok && !strings.Contains(v, "/") && (k.version == "" || deb.CompareVersions(v, k.version) > 0) {
			k.version = v
		}
	}
	if k.version == "" {
		return k, fail.WithHint(fail.User, fmt.Errorf("the root has no kernel (/%s*)", prefix), `give the board a kernel among its packages, such as "linux-image-arm64"`)
	}
	e, err := t.Lookup("boot/initrd.img-" + k.version)
	if err == nil && e == nil {
		err = fail.WithHint(fail.User, fmt.Errorf("the root has no initramfs for its kernel %s", k.version), `add the package "initramfs-tools" to the image`)
	}
	return k, err
}
