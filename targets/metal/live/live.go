// Package live is the program that a medium of the metal target runs before
// its system: it finds the medium that it was started from, and starts the
// system from it, with all changes in memory, or installs it to a disk. It runs
// in the initial RAM disk, as root, with nothing else than the kernel below.
package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"cloudy/builder/tree"
)

// Places in the initial RAM disk.
const (
	Folder     = "cloudy" // what the medium adds: this program and what it needs
	Program    = Folder + "/live"
	ConfigFile = Folder + "/live.json"
	Modules    = Folder + "/modules" // kernel modules, unpacked, to be loaded in the order of their names
)

// Config is what the builder tells the program.
type Config struct {
	ID    string `json:"id"` // of the medium: the name of its volume set
	Image string `json:"image"`
	Arch  string `json:"arch"` // Debian's name

	// For the disk that is installed.
	KernelArgs []string  `json:"kernelArguments,omitempty"`
	Boot       []string  `json:"boot,omitempty"`
	Grow       bool      `json:"grow"`
	Epoch      time.Time `json:"epoch"`
}

// Root is where the system lies on the medium, in bytes: what the volume
// descriptor's field for the application says.
type Root struct{ Offset, Size int64 }

// rootFormat is that field.
const rootFormat = "cloudy root %d %d"

// Text is the field as the builder writes it.
func (r Root) Text() string { return fmt.Sprintf(rootFormat, r.Offset, r.Size) }

// Where things are mounted. /run is what the initial RAM disk hands over.
const (
	systemDir  = "/run/cloudy/system"
	changesDir = "/run/cloudy/changes"
)

// waitForMedium is how long a medium may take to appear: slow USB hubs and
// drives that spin up are among them.
const waitForMedium = 3 * time.Minute

// Main starts the system at rootmnt, where initramfs-tools expects it, or
// installs it when the kernel's command line says so. After an installation it
// does not return.
func Main(ctx context.Context, rootmnt string) error {
	data, err := os.ReadFile("/" + ConfigFile)
	if err != nil {
		return err
	}
	var c Config
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("/%s: %w", ConfigFile, err)
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	if err := loadModules("/" + Modules); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, waitForMedium)
	defer cancel()
	m, err := findMedium(ctx, c.ID)
	if err != nil {
		return err
	}
	if err := m.mount(systemDir); err != nil {
		return fmt.Errorf("mount the system on %s: %w", m.device, err)
	}
	o, install := parse(string(line))
	if install {
		err := c.install(context.WithoutCancel(ctx), o, m)
		if err == nil {
			return power(o.After)
		}
		// Whoever comes to look finds a system to look around in.
		announce("CLOUDY-INSTALL failed: %v\nThe live system starts instead.\n", err)
	}
	return overlay(rootmnt)
}

// announce says something on all consoles.
func announce(format string, args ...any) {
	c, err := openConsoles(activeConsoles, "/dev")
	if err != nil {
		fmt.Printf(format, args...)
		return
	}
	c.say(format, args...)
	c.close()
}

// activeConsoles lists the kernel's.
const activeConsoles = "/sys/class/tty/console/active"

// overlay mounts the system at rootmnt with changes in memory above it.
func overlay(rootmnt string) error {
	if err := os.MkdirAll(changesDir, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", changesDir, "tmpfs", 0, "mode=0755,size=50%"); err != nil {
		return fmt.Errorf("mount memory for changes: %w", err)
	}
	upper, work := filepath.Join(changesDir, "upper"), filepath.Join(changesDir, "work")
	for _, d := range []string{upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", systemDir, upper, work)
	if err := unix.Mount("overlay", rootmnt, "overlay", 0, options); err != nil {
		return fmt.Errorf("mount the system: %w", err)
	}
	return nil
}

// power ends the machine.
func power(how string) error {
	unix.Sync()
	cmd := unix.LINUX_REBOOT_CMD_RESTART
	switch how {
	case "poweroff":
		cmd = unix.LINUX_REBOOT_CMD_POWER_OFF
	case "halt":
		cmd = unix.LINUX_REBOOT_CMD_HALT
	}
	return unix.Reboot(cmd)
}

// install asks what was not said, and writes the disk.
func (c Config) install(ctx context.Context, o Answers, m *medium) error {
	con, err := openConsoles(activeConsoles, "/dev")
	if err != nil {
		return err
	}
	defer con.close()
	root, err := tree.Scan(systemDir)
	if err != nil {
		return fmt.Errorf("read the system: %w", err)
	}
	need, err := c.need(ctx, root)
	if err != nil {
		return err
	}
	d := &disks{sys: "/sys", dev: "/dev", mounts: "/proc/self/mounts", medium: m.device, need: need}
	for {
		err := c.installOnce(ctx, &o, con, d, root)
		if err == nil || !o.Ask || errors.Is(err, errQuit) {
			return err
		}
		con.say("\nThat did not work: %v\n", err)
		o = Answers{Ask: true, After: o.After}
	}
}

func (c Config) installOnce(ctx context.Context, o *Answers, con *consoles, d *disks, root *tree.Tree) error {
	if o.Ask {
		if err := o.ask(con, d, c.Image); err != nil {
			return err
		}
	}
	if err := o.check(); err != nil {
		return err
	}
	disk, err := d.choose(o.Disk)
	if err != nil {
		return err
	}
	con.say("Installing %s on %s (%s).\n", c.Image, disk.path, disk.describe())
	if err := c.writeTo(ctx, disk, root, *o, con.say); err != nil {
		return err
	}
	con.say("CLOUDY-INSTALL done: %s\n", disk.path)
	if o.Ask {
		con.say("Take the medium out and press Enter; the machine starts from the disk.\n")
		_, _ = con.line()
	}
	return nil
}
