package live

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cloudy/firstboot/membership"
	"cloudy/firstboot/nodeconfig"
	"cloudy/firstboot/seed"
)

// Answers are what an installation needs to know.
type Answers struct {
	Ask bool // somebody is there to be asked what is missing

	Disk       string // path of the device; "auto" is the only one that can be taken
	Hostname   string // empty is the image's
	SSHKey     string // may log in as root; empty is nobody but whom the image has
	Invitation string // into the mesh; empty is none
	After      string // reboot, poweroff or halt
}

// Parameters of the kernel's command line.
const (
	paramInstall  = "cloudy.install" // alone: ask; with a disk: unattended
	paramHostname = "cloudy.hostname"
	paramKey      = "cloudy.ssh-key"
	paramInvite   = "cloudy.invite"
	paramAfter    = "cloudy.after"
)

// parse reads the kernel's command line, and says whether it asks for an
// installation.
func parse(line string) (o Answers, install bool) {
	o.After = "reboot"
	for _, word := range words(line) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case paramInstall:
			install = true
			o.Disk, o.Ask = value, value == "" || value == "ask"
			if o.Ask {
				o.Disk = ""
			}
		case paramHostname:
			o.Hostname = value
		case paramKey:
			o.SSHKey = value
		case paramInvite:
			o.Invitation = value
		case paramAfter:
			o.After = value
		}
	}
	return o, install
}

// words splits a command line as the kernel does: at blanks that are not
// within double quotes, which go away. GRUB writes an argument with blanks in
// it as "name=value with blanks", with backslashes before quotes.
func words(line string) []string {
	var out []string
	var word strings.Builder
	quoted, any, escaped := false, false, false
	for _, r := range strings.TrimSpace(line) {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quoted:
			escaped = true
		case r == '"':
			quoted, any = !quoted, true
		case !quoted && (r == ' ' || r == '\t' || r == '\n'):
			if any || word.Len() > 0 {
				out = append(out, word.String())
			}
			word.Reset()
			any = false
		default:
			word.WriteRune(r)
		}
	}
	if any || word.Len() > 0 {
		out = append(out, word.String())
	}
	return out
}

var afterChoices = []string{"reboot", "poweroff", "halt"}

// check says all that is wrong.
func (o *Answers) check() error {
	return errors.Join(checkHostname(o.Hostname), checkKey(o.SSHKey), checkInvitation(o.Invitation), checkAfter(o.After))
}

func checkHostname(s string) error {
	if s != "" && !nodeconfig.ValidHostName(s) {
		return fmt.Errorf("%q is no host name: letters a to z, digits and - inside, at most 63", s)
	}
	return nil
}

func checkKey(s string) error {
	if s == "" {
		return nil
	}
	if strings.Contains(s, "PRIVATE KEY") {
		return errors.New("that is a private key; the public one is in the file that ends in .pub")
	}
	_, err := seed.SSHKey(s)
	return err
}

func checkInvitation(s string) error {
	if s == "" {
		return nil
	}
	_, err := membership.ParseInvitation(s)
	return err
}

func checkAfter(s string) error {
	if !slices.Contains(afterChoices, s) {
		return fmt.Errorf("%s=%s is not known (%s)", paramAfter, s, strings.Join(afterChoices, ", "))
	}
	return nil
}

// card is what the node reads from the boot partition; nil when there is
// nothing to tell it.
func (o *Answers) card() (map[string]string, error) {
	c := seed.Card{HostName: o.Hostname, Invitation: o.Invitation}
	if o.SSHKey != "" {
		c.SSHKeys = []string{o.SSHKey}
	}
	if o.Hostname == "" && o.SSHKey == "" && o.Invitation == "" {
		return nil, nil
	}
	text, err := c.Encode()
	if err != nil {
		return nil, err
	}
	return map[string]string{seed.FileName: string(text)}, nil
}
