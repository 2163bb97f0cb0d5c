//go:build !mips && !mipsle

package seed

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"cloudy/firstboot/membership"
)

// cloudConfig is what is taken from the user-data of a NoCloud drive
// (cloud-init's documentation, "NoCloud" and "Cloud config examples"). The
// rest of cloud-init's many keys means nothing here.
type cloudConfig struct {
	HostName string    `yaml:"hostname"`
	FQDN     string    `yaml:"fqdn"`
	SSHKeys  []string  `yaml:"ssh_authorized_keys"`
	Users    []anyUser `yaml:"users"`
}

// anyUser is a user, or the word "default", which is root here.
type anyUser struct{ User }

// words is a list, or one text with commas.
type words []string

func (w *words) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		for _, f := range strings.Split(n.Value, ",") {
			if f = strings.TrimSpace(f); f != "" {
				*w = append(*w, f)
			}
		}
		return nil
	}
	return n.Decode((*[]string)(w))
}

func (u *anyUser) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		u.Name = n.Value
		return nil
	}
	var x struct {
		Name    string    `yaml:"name"`
		Gecos   string    `yaml:"gecos"`
		Shell   string    `yaml:"shell"`
		Groups  words     `yaml:"groups"`
		SSHKeys []string  `yaml:"ssh_authorized_keys"`
		Passwd  string    `yaml:"passwd"`
		Hashed  string    `yaml:"hashed_passwd"`
		Lock    *bool     `yaml:"lock_passwd"`
		Sudo    yaml.Node `yaml:"sudo"`
	}
	if err := n.Decode(&x); err != nil {
		return err
	}
	u.User = User{Name: x.Name, Comment: x.Gecos, Shell: x.Shell, Groups: x.Groups, SSHKeys: x.SSHKeys}
	if x.Lock != nil && !*x.Lock { // as in cloud-init, passwords are off unless said otherwise
		u.PasswordHash = x.Passwd
		if x.Hashed != "" {
			u.PasswordHash = x.Hashed
		}
	}
	var rules words
	if err := x.Sudo.Decode(&rules); err == nil {
		for _, r := range rules {
			u.Sudo = u.Sudo || sudoAll.MatchString(r)
		}
	}
	return nil
}

// sudoAll is the one rule that is taken: everything.
var sudoAll = regexp.MustCompile(`^ALL=\(ALL(:ALL)?\) (NOPASSWD: ?)?ALL$`)

// metaData is what is taken from the meta-data.
type metaData struct {
	LocalHostName string `yaml:"local-hostname"`
	HostName      string `yaml:"hostname"`
}

// parseNoCloud reads the drive's two files. As on the card, what is wrong is
// told and left out.
func parseNoCloud(user, meta []byte) (p Provision, token string, errs []error) {
	p.Origin = OriginDrive
	var m metaData
	if err := yaml.Unmarshal(meta, &m); err != nil {
		errs = append(errs, fmt.Errorf("meta-data: %w", err))
	}
	var c cloudConfig
	text := decodeText(user)
	switch {
	case strings.TrimSpace(text) == "":
	case !strings.HasPrefix(text, "#cloud-config"):
		errs = append(errs, fmt.Errorf("user-data: does not begin with #cloud-config; scripts are not run"))
	default:
		if err := yaml.Unmarshal([]byte(text), &c); err != nil {
			errs = append(errs, fmt.Errorf("user-data: %w", err))
		}
	}
	for _, h := range []string{c.HostName, c.FQDN, m.LocalHostName, m.HostName} {
		h, _, _ = strings.Cut(h, ".")
		if h == "" || p.HostName != "" {
			continue
		}
		var err error
		if p.HostName, err = hostName(h); err != nil {
			errs = append(errs, err)
		}
	}
	keys := func(list []string, of string) (out []string) {
		for _, k := range list {
			key, err := SSHKey(k)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", of, err))
				continue
			}
			out = append(out, key)
		}
		return out
	}
	p.SSHKeys = keys(c.SSHKeys, "ssh_authorized_keys")
	for _, u := range c.Users {
		if u.Name == "default" || u.Name == "root" {
			p.SSHKeys = append(p.SSHKeys, keys(u.SSHKeys, u.Name)...)
			continue
		}
		x := u.User
		x.SSHKeys = keys(x.SSHKeys, "user "+x.Name)
		if err := x.check(); err != nil {
			errs = append(errs, err)
			continue
		}
		p.Users = append(p.Users, x)
	}
	return p, membership.FindToken(text), errs
}
