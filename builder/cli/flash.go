package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/fetch"
	"cloudy/builder/flash"
	"cloudy/builder/registry"
	"cloudy/builder/sign"
	"cloudy/firstboot/seed"
)

// flashFlags are the flags of flash.
type flashFlags struct {
	yes, any, anyImage, noVerify, all, json, insecure bool
	bmap, sha256                                      string
	keys                                              []string
	invite, hostname                                  string
	sshKeys                                           []string
}

func (a *App) flashCommand() *cobra.Command {
	var f flashFlags
	c := &cobra.Command{
		Use:     "flash [IMAGE DEVICE]",
		GroupID: groupImage,
		Short:   "Write an image to a card, stick or disk",
		Long: `Write a disk image to a device: an SD card, a USB stick, a disk. Without arguments, list
the devices that can be written.

IMAGE is a file, a URL or oci://REGISTRY/REPOSITORY:TAG (with #FILE where an artefact has
several): a raw disk, alone or in zstd, xz, gzip, bzip2 or lz4, or qcow2.
With a block map beside it (NAME.bmap, as the targets for cards and sticks have) only
what matters is written. An image from the web is checked against the list of sums in
its folder, or against --sha256, before the device is touched; --key also wants the
list signed. A download that broke off is resumed.

A device that is mounted or used in another way, that is read-only, too small or not
removable is refused. What was written is read back and compared. The partition table
is written last: a card that was not finished does not boot half an image.

--invite, --hostname and --ssh-key tell the node who it is and whom it trusts, in the
file cloudy.txt on the boot partition, which any computer can edit later on.`,
		Example: `  cloudy flash
  cloudy flash out/metal-amd64-metal.raw.zst /dev/sdb
  cloudy flash oci://registry.example.org/cloudy/node-disk:1.0 /dev/sdb --yes
  cloudy flash card.raw.zst /dev/mmcblk0 --hostname attic --invite @invitation.txt`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				return fmt.Errorf("flash %s: to which device? \"cloudy flash\" lists them", args[0])
			}
			if len(args) > 2 {
				return fmt.Errorf("flash takes an image and a device, but got %d arguments", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listDevices(f)
			}
			return a.flash(c.Context(), args[0], args[1], f)
		},
	}
	fl := c.Flags()
	fl.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	fl.BoolVar(&f.any, "any-device", false, "also write to a device that is not removable, such as a disk")
	fl.BoolVar(&f.anyImage, "any-image", false, "also write what has neither a partition table nor a filesystem")
	fl.BoolVar(&f.noVerify, "no-verify", false, "do not read back what was written")
	fl.BoolVar(&f.all, "all", false, "list all disks, with the reason why one is refused")
	fl.BoolVar(&f.json, "json", false, "list as JSON")
	fl.StringVar(&f.bmap, "bmap", "", "`file` of the block map; \"none\" writes all of the image")
	fl.StringVar(&f.sha256, "sha256", "", "`hash` of an image from the web")
	fl.StringArrayVar(&f.keys, "key", nil, "public `key`, or a file of one, that signed the list of sums on the web")
	fl.StringVar(&f.invite, "invite", "", "`invitation` into the mesh, or @FILE, or @- for standard input")
	fl.StringVar(&f.hostname, "hostname", "", "`name` of the node")
	fl.StringArrayVar(&f.sshKeys, "ssh-key", nil, "public SSH `key` that may log in as root, or a file of them")
	insecureFlag(c, &f.insecure)
	return c
}

func (a *App) listDevices(f flashFlags) error {
	devices, err := flash.Host{}.Devices()
	if err != nil {
		return err
	}
	shown := devices[:0]
	for _, d := range devices {
		if f.all || d.Check(0, f.any) == nil {
			shown = append(shown, d)
		}
	}
	if f.json {
		return writeJSON(a.Out, shown)
	}
	if len(shown) == 0 {
		printf(a.Out, "No card, stick or other removable device that is free. --all lists every disk, and why it is refused.\n")
		return nil
	}
	printDevices(a.Out, shown, f.any)
	return nil
}

// printDevices writes a table of devices, and after it why some are refused:
// that is longer than any column.
func printDevices(out io.Writer, list []flash.Device, any bool) {
	var refused strings.Builder
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "DEVICE\tSIZE\tBUS\tPARTITIONS\tMODEL")
	for _, d := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", d.Path, flash.Bytes(d.Size), dash(d.Transport), d.Partitions, dash(d.Model))
		if err := d.Check(0, any); err != nil {
			fmt.Fprintf(&refused, "refused: %v\n", err)
		}
	}
	w.Flush()
	io.WriteString(out, refused.String())
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (a *App) flash(ctx context.Context, source, device string, f flashFlags) error {
	card, err := a.card(f)
	if err != nil {
		return err
	}
	d, err := flash.Host{}.Find(device)
	if err != nil {
		return err
	}
	if err := d.Check(0, f.any); err != nil {
		return err
	}
	im, done, err := a.openSource(ctx, source, f)
	if err != nil {
		return err
	}
	defer im.Close()
	if err := d.Check(im.Size, f.any); err != nil {
		return err
	}
	if !f.yes {
		if err := a.confirm(im, d); err != nil {
			return err
		}
	}
	m, err := flash.OpenDevice(d)
	if err != nil {
		return err
	}
	start := time.Now()
	ctx, end := a.Progress(ctx)
	res, err := flash.Write(ctx, im, m, flash.Options{NoVerify: f.noVerify, AnyImage: f.anyImage, Seed: card})
	err = errors.Join(err, m.Close())
	end(err, "")
	if err != nil {
		return err
	}
	done()
	took := time.Since(start)
	printf(a.Out, "%s is on %s: %s written, %s left as they were, in %s. It can be taken out.\n",
		source, d.Path, flash.Bytes(res.Written), flash.Bytes(res.Left), took.Round(100*time.Millisecond))
	return nil
}

// openSource opens an image, which may have to be downloaded first. done
// removes what is not needed once the image is on the device.
func (a *App) openSource(ctx context.Context, source string, f flashFlags) (_ *flash.Image, done func(), err error) {
	ctx, end := a.Progress(ctx)
	defer func() { end(err, "") }()
	done = func() {}
	switch {
	case flash.IsURL(source):
		source, f.bmap, err = a.download(ctx, source, f)
	case f.sha256 != "" || len(f.keys) > 0:
		err = fail.WithHint(fail.User, errors.New("--sha256 and --key are for images from the web"), `"cloudy verify" checks a file`)
	case flash.IsRef(source):
		source, f.bmap, done, err = a.pull(ctx, source, f)
	}
	if err != nil {
		return nil, nil, err
	}
	im, err := flash.Open(ctx, source, f.bmap)
	return im, done, err
}

// pull brings an image out of a registry.
func (a *App) pull(ctx context.Context, source string, f flashFlags) (image, bmap string, done func(), err error) {
	st, err := a.Store()
	if err != nil {
		return "", "", nil, err
	}
	defer st.Close()
	image, bmap, done, err = flash.Pull(ctx, registry.New(registry.Options{Insecure: f.insecure}), source, a.Flags.Arch, filepath.Join(st.Dir(), "flash"))
	if f.bmap != "" {
		bmap = f.bmap
	}
	return image, bmap, done, err
}

// download brings an image from the web into the store.
func (a *App) download(ctx context.Context, source string, f flashFlags) (image, bmap string, err error) {
	r := flash.Remote{URL: source, SHA256: f.sha256}
	for _, k := range f.keys {
		p, err := sign.ReadPublic(k)
		if err != nil {
			return "", "", fail.Mark(fail.User, err)
		}
		r.Keys = append(r.Keys, p)
	}
	st, err := a.Store()
	if err != nil {
		return "", "", err
	}
	defer st.Close()
	image, bmap, err = r.Download(ctx, st, fetch.Config{Offline: a.Flags.Offline})
	if f.bmap != "" {
		bmap = f.bmap
	}
	return image, bmap, err
}

// card is the text of cloudy.txt on the boot partition, or nil.
func (a *App) card(f flashFlags) ([]byte, error) {
	c := seed.Card{Invitation: f.invite, HostName: f.hostname}
	if name, ok := strings.CutPrefix(f.invite, "@"); ok {
		read := func() ([]byte, error) { return os.ReadFile(name) }
		if name == "-" {
			read = func() ([]byte, error) { return io.ReadAll(io.LimitReader(a.In, 64<<10)) }
		}
		b, err := read()
		if err != nil {
			return nil, fail.Mark(fail.User, fmt.Errorf("read the invitation: %w", err))
		}
		c.Invitation = strings.TrimSpace(string(b))
	}
	for _, k := range f.sshKeys {
		if strings.Contains(k, " ") {
			c.SSHKeys = append(c.SSHKeys, k)
			continue
		}
		b, err := os.ReadFile(k)
		if err != nil {
			return nil, fail.WithHint(fail.User, fmt.Errorf("SSH key: %w", err), "--ssh-key takes a file such as ~/.ssh/id_ed25519.pub, or its text in quotes")
		}
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				c.SSHKeys = append(c.SSHKeys, line)
			}
		}
	}
	if c.Invitation == "" && c.HostName == "" && len(c.SSHKeys) == 0 {
		return nil, nil
	}
	text, err := c.Encode()
	return text, fail.WithHint(fail.User, err, "an invitation is made by \"cloudy-node invite\"; a public SSH key is one line such as that of ~/.ssh/id_ed25519.pub")
}

// confirm asks before anything is lost.
func (a *App) confirm(im *flash.Image, d flash.Device) error {
	in, ok := a.In.(*os.File)
	if !ok || !isTerminal(in) {
		return fail.WithHint(fail.User, fmt.Errorf("everything on %s would be lost, and there is no terminal to ask at", d.Path), "add --yes if it is the right device")
	}
	printf(a.Err, "Image   %s (%s, %s)\n", im.Path, im.Format, flash.Bytes(im.Size))
	printf(a.Err, "Device  %s, %s, %s, %d partitions\n", d.Path, flash.Bytes(d.Size), dash(d.Model), d.Partitions)
	printf(a.Err, "Everything on %s will be lost. Write it? Type yes: ", d.Path)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(line) != "yes" {
		return fail.Mark(fail.User, errors.New("nothing was written"))
	}
	return nil
}
