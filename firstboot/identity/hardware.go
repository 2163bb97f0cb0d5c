package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Hardware returns what identifies the machine: for each of its firmware's
// UUID and serial numbers, its network cards' permanent addresses and its
// SD card's CID, a hash (the values themselves are nobody's business).
// It is empty in a container, which sees its host's hardware.
func (f Files) Hardware() []string {
	if f.container() {
		return nil
	}
	var out []string
	add := func(kind, value string) {
		value = strings.TrimSpace(strings.Trim(value, "\x00"))
		if placeholder(value) {
			return
		}
		sum := sha256.Sum256([]byte("cloudy-hardware/1|" + kind + "|" + strings.ToLower(value)))
		out = append(out, kind+":"+hex.EncodeToString(sum[:8]))
	}
	file := func(kind, path string) {
		if data, err := os.ReadFile(f.path(path)); err == nil {
			add(kind, string(data))
		}
	}
	file("dmi-uuid", "sys/class/dmi/id/product_uuid")
	file("dmi-serial", "sys/class/dmi/id/product_serial")
	file("dmi-board", "sys/class/dmi/id/board_serial")
	file("soc-serial", "sys/firmware/devicetree/base/serial-number")
	cards, _ := filepath.Glob(f.path("sys/class/net/*/device"))
	for _, card := range cards {
		dir := filepath.Dir(card)
		// addr_assign_type 0: the address is burnt in, not random
		// (Documentation/ABI/testing/sysfs-class-net).
		if kind, err := os.ReadFile(filepath.Join(dir, "addr_assign_type")); err != nil || strings.TrimSpace(string(kind)) != "0" {
			continue
		}
		if mac, err := os.ReadFile(filepath.Join(dir, "address")); err == nil {
			add("mac", string(mac))
		}
	}
	cids, _ := filepath.Glob(f.path("sys/block/mmcblk*/device/cid"))
	for _, cid := range cids {
		if data, err := os.ReadFile(cid); err == nil {
			add("card", string(data))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// container says whether the system runs in one: systemd and the container
// managers leave these marks (systemd.io/CONTAINER_INTERFACE).
func (f Files) container() bool {
	for _, p := range []string{"run/systemd/container", "run/.containerenv", ".dockerenv"} {
		if _, err := os.Stat(f.path(p)); err == nil {
			return true
		}
	}
	env, err := os.ReadFile(f.path("proc/1/environ"))
	return err == nil && (strings.HasPrefix(string(env), "container=") || strings.Contains(string(env), "\x00container="))
}

// placeholder says whether a serial number is one of those that vendors put
// where there is none, the same on thousands of machines.
func placeholder(v string) bool {
	switch strings.ToLower(v) {
	case "", "0", "none", "n/a", "default string", "to be filled by o.e.m.", "not specified", "system serial number",
		"not applicable", "empty", "unknown", "123456789", "0123456789", "00:00:00:00:00:00",
		"00000000-0000-0000-0000-000000000000", "03000200-0400-0500-0006-000700080009":
		return true
	}
	return strings.Trim(v, "0") == "" || strings.Trim(strings.ToLower(v), "f-") == ""
}

// otherMachine says whether the hardware of then and now have nothing in
// common. A replaced network card, or a card moved to another board, leaves
// something in common; a copied card in another board does not.
func otherMachine(then, now []string) bool {
	if len(then) == 0 || len(now) == 0 {
		return false
	}
	for _, h := range now {
		if slices.Contains(then, h) {
			return false
		}
	}
	return true
}
