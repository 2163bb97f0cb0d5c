package flash

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cloudy/builder/fail"
)

// fakeHost is a machine with a system disk (LVM with root and swap on it), a
// USB stick, a card, an empty reader, soldered eMMC and a second disk.
func fakeHost(t *testing.T) Host {
	t.Helper()
	dir := t.TempDir()
	put := func(path, content string) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	disk := func(name, bus, size, removable, dev string) string {
		at := "sys/devices/" + bus + "/block/" + name
		put(at+"/size", size)
		put(at+"/removable", removable)
		put(at+"/ro", "0")
		put(at+"/dev", dev)
		put(at+"/queue/logical_block_size", "512")
		if err := os.MkdirAll(filepath.Join(dir, "sys/block"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../devices/"+bus+"/block/"+name, filepath.Join(dir, "sys/block", name)); err != nil {
			t.Fatal(err)
		}
		return at
	}
	part := func(at, name, dev string) {
		put(at+"/"+name+"/partition", "1")
		put(at+"/"+name+"/dev", dev)
	}
	sda := disk("sda", "pci0000:00/0000:00:1f.2/ata1/host0", "1000000000", "0", "8:0")
	put(sda+"/device/vendor", "ATA     ")
	put(sda+"/device/model", "Samsung SSD")
	part(sda, "sda1", "8:1")
	put(sda+"/sda1/holders/dm-0/dev", "253:0")
	disk("dm-0", "virtual", "900000000", "0", "253:0")
	put("sys/devices/virtual/block/dm-0/holders/dm-1/dev", "253:1")
	disk("dm-1", "virtual", "800000000", "0", "253:1")
	sdb := disk("sdb", "pci0000:00/usb2/2-1", "31457280", "1", "8:16")
	put(sdb+"/device/vendor", "SanDisk ")
	put(sdb+"/device/model", "Ultra Fit")
	part(sdb, "sdb1", "8:17")
	disk("sdc", "pci0000:00/usb2/2-2", "0", "1", "8:32") // no card in it
	sdd := disk("sdd", "pci0000:00/usb2/2-3", "1953525168", "0", "8:48")
	part(sdd, "sdd1", "8:49")
	mmc := disk("mmcblk0", "platform/mmc_host/mmc0/mmc0:aaaa", "62333952", "0", "179:0")
	put(mmc+"/device/type", "SD")
	put(mmc+"/device/name", "SC32G")
	part(mmc, "mmcblk0p1", "179:1")
	emmc := disk("mmcblk1", "platform/mmc_host/mmc1/mmc1:0001", "30535680", "0", "179:8")
	put(emmc+"/device/type", "MMC")
	disk("nvme0n1", "pci0000:00/nvme/nvme0", "1000000000", "0", "259:0")
	disk("sde", "pci0000:00/usb2/2-4", "31457280", "1", "8:64")
	put("sys/devices/pci0000:00/usb2/2-4/block/sde/ro", "1")
	put("proc/self/mountinfo", strings.Join([]string{
		"20 1 253:1 / / rw - ext4 /dev/mapper/vg-root rw",
		"21 20 8:49 / /media/my\\040disk rw - vfat /dev/sdd1 rw",
		"22 20 0:30 / /srv rw - btrfs /dev/nvme0n1 rw",
	}, "\n"))
	put("proc/swaps", "Filename Type Size Used Priority\n/dev/mmcblk0p1 partition 100 0 -2")
	return Host{Sys: filepath.Join(dir, "sys"), Proc: filepath.Join(dir, "proc"), Dev: "/dev"}
}

// TestDevices: which disks of a machine may be written, and why the others may not.
func TestDevices(t *testing.T) {
	h := fakeHost(t)
	list, err := h.Devices()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"sda": "/dev/dm-1 is mounted on /", "sdb": "", "sdd": "mounted on /media/my disk", "sde": "read-only",
		"mmcblk0": "used for swap", "mmcblk1": "not a removable", "nvme0n1": "mounted on /srv",
	}
	for _, d := range list {
		reason, ok := want[d.Name]
		if !ok {
			t.Errorf("%+v is listed", d)
			continue
		}
		delete(want, d.Name)
		err := d.Check(0, false)
		if reason == "" != (err == nil) || err != nil && (!strings.Contains(err.Error(), reason) || fail.KindOf(err) != fail.User || fail.HintOf(err) == "") {
			t.Errorf("%s: %v, want %q", d.Name, err, reason)
		}
		if d.Name == "sdb" && (d.Model != "SanDisk Ultra Fit" || d.Transport != "usb" || d.Size != 31457280*512 || d.Partitions != 1) {
			t.Errorf("%+v", d)
		}
		// Only what is fixed may be allowed; what is in use never is.
		if err := d.Check(0, true); (err == nil) != (reason == "" || d.Name == "mmcblk1") {
			t.Errorf("%s with any device: %v", d.Name, err)
		}
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
	if p := h.parent("sdb1"); p != "sdb" {
		t.Errorf("parent of sdb1: %q", p)
	}
}

// loop attaches a file to a loop device.
func loop(t *testing.T, file string, args ...string) string {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "loop devices need root")
	}
	dev := strings.TrimSpace(run(t, "losetup", append(args, "-f", "--show", file)...))
	t.Cleanup(func() { exec.Command("losetup", "-d", dev).Run() })
	return dev
}

func garbage(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "card")
	if err := os.WriteFile(path, newMemory(size).b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeDevice(t *testing.T, image, dev string, seed string) error {
	t.Helper()
	d, err := Host{}.Find(dev)
	if err != nil {
		return err
	}
	im := open(t, image, "none")
	if err := d.Check(im.Size, true); err != nil {
		return err
	}
	m, err := OpenDevice(d)
	if err != nil {
		return err
	}
	_, err = Write(context.Background(), im, m, Options{Seed: []byte(seed)})
	return errors.Join(err, m.Close())
}

// TestLoopDevice writes to a real block device.
func TestLoopDevice(t *testing.T) {
	raw, _ := diskImage(t)
	card := garbage(t, 64*mib)
	dev := loop(t, card)
	if err := writeDevice(t, raw, dev, "hostname=attic\n"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(card)
	if err != nil {
		t.Fatal(err)
	}
	judge(t, raw, got, nil, "hostname=attic\n")

	if d, err := (Host{}).Find(dev); err != nil || d.Removable || d.Transport != "loop" || d.Check(0, false) == nil {
		t.Errorf("a loop device is no card: %+v, %v", d, err)
	}
	link := filepath.Join(t.TempDir(), "by-id")
	if err := os.Symlink(dev, link); err != nil {
		t.Fatal(err)
	}
	if d, err := (Host{}).Find(link); err != nil || d.Path != dev {
		t.Errorf("by its link: %+v, %v", d, err)
	}
}

// TestRefused: what must not be written is not.
func TestRefused(t *testing.T) {
	raw, _ := diskImage(t)
	locked := loop(t, garbage(t, 64*mib), "-r")
	if err := writeDevice(t, raw, locked, ""); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("read-only: %v", err)
	}
	if err := writeDevice(t, raw, loop(t, garbage(t, 40*mib)), ""); err == nil || !strings.Contains(err.Error(), "the image needs 50.3 MB") {
		t.Errorf("too small: %v", err)
	}
	file := garbage(t, 64*mib)
	if err := writeDevice(t, raw, file, ""); err == nil || !strings.Contains(err.Error(), "not a disk") {
		t.Errorf("a file: %v", err)
	}
	if err := writeDevice(t, raw, "/dev/null", ""); err == nil || !strings.Contains(err.Error(), "not a disk") {
		t.Errorf("/dev/null: %v", err)
	}
	if _, err := (Host{}).Find("/dev/not-there"); err == nil || fail.HintOf(err) == "" {
		t.Errorf("not there: %v", err)
	}

	run(t, "mkfs.ext4", "-q", "-F", file)
	used := loop(t, file)
	at := t.TempDir()
	if err := unix.Mount(used, at, "ext4", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(at, 0)
	if err := writeDevice(t, raw, used, ""); err == nil || !strings.Contains(err.Error(), "mounted on "+at) {
		t.Errorf("mounted: %v", err)
	}
	d, err := Host{}.Find(used)
	if err != nil {
		t.Fatal(err)
	}
	d.InUse = nil // somebody mounts it between the look and the claim
	if m, err := OpenDevice(d); err == nil {
		m.Close()
		t.Error("a mounted device was opened for writing")
	} else if !strings.Contains(err.Error(), "in use") {
		t.Error(err)
	}
}

// TestFailingDevice: a real device that stops taking data in the middle, here
// a loop device whose file cannot grow, is reported with the place, and is
// left without a partition table.
func TestFailingDevice(t *testing.T) {
	if os.Getuid() != 0 {
		missing(t, "loop devices need root")
	}
	raw, _ := diskImage(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	card := filepath.Join(dir, "card")
	f, err := os.Create(card)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(64 * mib); err != nil {
		t.Fatal(err)
	}
	dev := loop(t, card)
	err = writeDevice(t, raw, dev, "")
	var me *MediumError
	if !errors.As(err, &me) || fail.KindOf(err) != fail.Host {
		t.Fatalf("error %v", err)
	}
	t.Log(err, "-", fail.HintOf(err))
	if me.Offset < mib || me.Offset > 47*mib {
		t.Errorf("failed at %d", me.Offset)
	}
	head := make([]byte, mib)
	if _, err := io.ReadFull(f, head); err != nil || !bytes.Equal(head, make([]byte, mib)) {
		t.Errorf("the unfinished medium has a partition table (%v)", err)
	}
}
