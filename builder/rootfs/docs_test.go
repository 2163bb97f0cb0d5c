package rootfs

import (
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write generated documents")

const scrubDoc = "../../docs/scrub.md"

func scrubText() string {
	return "# What never ships in an image\n\n" +
		"After the packages are configured, the following goes away before anything is written out, unless the recipe\n" +
		"asks for a path itself with a `file` block or an overlay. The cached layers keep it; images do not.\n\n" + ScrubTable() +
		"\nThen the build is verified: it fails when a file below `/etc`, `/root`, `/home`, `/var`, `/opt` or `/srv` holds a private\n" +
		"key, when an SSH host key, a machine id or a random seed is left, or when anything is newer than the lock's epoch.\n"
}

// TestScrubDocument keeps docs/scrub.md in step with the rules.
func TestScrubDocument(t *testing.T) {
	if *update {
		if err := os.WriteFile(scrubDoc, []byte(scrubText()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(scrubDoc)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != scrubText() {
		t.Errorf("%s is out of date: go test ./builder/rootfs -run ScrubDocument -update", scrubDoc)
	}
}
