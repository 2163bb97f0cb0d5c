package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cloudy/builder/disk/gpt"
)

// cardSize is how large the cards are that tests write images to, in bytes:
// larger than any image, so that something has to grow.
const cardSize = 3 << 30

// testKey may log in to nodes of tests; nobody has its other half.
const testKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0mVWUmgQNPcVDzmOjzG4tUp8sRYW8kcQ3q0ZbNEDrd test"

// flashed writes an image by "cloudy flash" to a card of cardSize: a loop
// device that was used before. It returns the file behind that.
func flashed(t *testing.T, image string, args ...string) (string, error) {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "loop devices need root")
	}
	card := filepath.Join(t.TempDir(), "card.raw")
	f, err := os.Create(card)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := f.Truncate(cardSize); err != nil {
		return "", err
	}
	// What was on it must not shine through, least of all at its end.
	for _, at := range []int64{0, 300 << 20, cardSize - 1<<20} {
		if _, err := f.WriteAt([]byte(strings.Repeat("used before ", 1<<16)), at); err != nil {
			return "", err
		}
	}
	out, err := exec.Command("losetup", "--find", "--show", card).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("losetup: %w: %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	attached := true
	detach := func() error {
		if !attached {
			return nil
		}
		attached = false
		return exec.Command("losetup", "--detach", device).Run()
	}
	defer detach() // when the test ends in what follows
	stdout, stderr, code := cloudy(t, filepath.Dir(card), append([]string{"flash", image, device, "--any-device", "--yes"}, args...)...)
	if err := detach(); err != nil {
		return "", fmt.Errorf("losetup --detach %s: %w", device, err)
	}
	if code != 0 || !strings.Contains(stdout, "It can be taken out.") {
		return "", fmt.Errorf("flash: exit status %d\n%s%s", code, stdout, stderr)
	}
	t.Log(strings.TrimSpace(stdout))
	return card, nil
}

// partition is one of a card's partitions.
func partition(card string, wanted func(gpt.Partition) bool) (gpt.Partition, error) {
	f, err := os.Open(card)
	if err != nil {
		return gpt.Partition{}, err
	}
	defer f.Close()
	table, err := gpt.Read(f, cardSize)
	if err != nil {
		return gpt.Partition{}, err
	}
	for _, p := range table.Partitions {
		if wanted(p) {
			return p, nil
		}
	}
	return gpt.Partition{}, errors.New("no such partition")
}

// grown looks at the card of a node that is off: its table is sound at both
// ends, the root reaches the end, and so does its filesystem.
func grown(card string) error {
	root, err := partition(card, func(p gpt.Partition) bool { return p.Name == "root" })
	if err != nil {
		return err
	}
	if root.End() < cardSize-2*gpt.Align {
		return fmt.Errorf("the root ends at %d on a card of %d bytes", root.End(), cardSize)
	}
	if out, err := exec.Command("sgdisk", "-v", card).CombinedOutput(); err != nil || !strings.Contains(string(out), "No problems found") {
		return fmt.Errorf("sgdisk: %w: %s", err, out)
	}
	if out, err := exec.Command("e2fsck", "-fn", fmt.Sprintf("%s?offset=%d", card, root.Start)).CombinedOutput(); err != nil {
		return fmt.Errorf("e2fsck: %w: %s", err, out)
	}
	return nil
}

// cardSeed is cloudy.txt on the boot partition of a card.
func cardSeed(card string) (string, error) {
	esp, err := partition(card, func(p gpt.Partition) bool { return strings.EqualFold(p.Type.String(), gpt.ESP) })
	if err != nil {
		return "", err
	}
	out, err := exec.Command("mtype", "-i", fmt.Sprintf("%s@@%d", card, esp.Start), "::cloudy.txt").Output()
	return string(out), err
}
