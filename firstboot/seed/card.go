package seed

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"

	"golang.org/x/crypto/ssh"

	"cloudy/firstboot/membership"
	"cloudy/firstboot/nodeconfig"
)

// Card is what the file on the boot partition (FileName) says. It is lines of
// text that a person can write on any PC:
//
//	# anything behind a # is a remark
//	hostname = my-node
//	ssh-key = ssh-ed25519 AAAA... me@laptop
//	invitation = cloudy1....
//
// Upper and lower case are the same left of the =, blanks around it and quotes
// around the value mean nothing, ssh-key may stand several times. The
// invitation is found wherever it stands in the text, so pasting it into the
// empty file is enough. Line ends of any system, a byte order mark and UTF-16
// (what Windows' editor calls Unicode) are understood.
type Card struct {
	HostName   string   // "" for none
	SSHKeys    []string // of who may log in as root: type, key and remark, no options
	Invitation string   // a token, or ""
}

// ParseCard reads the file. What is wrong in it is told by line in the second
// value and left out: a typing mistake in one line costs that line only.
func ParseCard(data []byte) (Card, []error) {
	var c Card
	var errs []error
	text := decodeText(data)
	for n, line := range strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		var err error
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "hostname":
			if value == "" {
				continue // a form that was not filled in
			}
			if c.HostName, err = hostName(value); err != nil {
				errs = append(errs, fmt.Errorf("line %d: %w", n+1, err))
			}
		case "ssh-key":
			if value == "" {
				continue
			}
			key, err := SSHKey(value)
			if err != nil {
				errs = append(errs, fmt.Errorf("line %d: %w", n+1, err))
				continue
			}
			c.SSHKeys = append(c.SSHKeys, key)
		}
	}
	c.Invitation = membership.FindToken(text)
	return c, errs
}

// Encode returns the file's content, with Windows' line ends: its editor shows
// it well, and others do not mind.
func (c Card) Encode() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Cloudy reads this file when the node boots for the first time.\r\n")
	if c.HostName != "" {
		host, err := hostName(c.HostName)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "hostname = %s\r\n", host)
	}
	for _, k := range c.SSHKeys {
		key, err := SSHKey(k)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "ssh-key = %s\r\n", key)
	}
	if c.Invitation != "" {
		if _, err := membership.ParseInvitation(c.Invitation); err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "# Who has this line can join the mesh in the node's place. The node removes it when it has joined.\r\ninvitation = %s\r\n", c.Invitation)
	}
	return b.Bytes(), nil
}

// decodeText takes off a byte order mark, and makes UTF-8 out of UTF-16.
func decodeText(data []byte) string {
	if s, ok := bytes.CutPrefix(data, []byte("\xef\xbb\xbf")); ok {
		return string(s)
	}
	var at func([]byte) uint16
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		at = func(b []byte) uint16 { return uint16(b[1])<<8 | uint16(b[0]) }
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		at = func(b []byte) uint16 { return uint16(b[0])<<8 | uint16(b[1]) }
	default:
		return string(data)
	}
	var units []uint16
	for i := 2; i+1 < len(data); i += 2 {
		units = append(units, at(data[i:]))
	}
	return string(utf16.Decode(units))
}

func hostName(s string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	if !nodeconfig.ValidHostName(s) {
		return "", fmt.Errorf("%.80q is no host name: letters a to z, digits and - inside, at most 63", s)
	}
	return s, nil
}

// SSHKey checks a line of authorized_keys and returns it as the key alone:
// options, such as a command, are not taken from a seed.
func SSHKey(line string) (string, error) {
	key, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return "", fmt.Errorf("%.40q is no SSH public key: %w", line, err)
	}
	if len(options) > 0 {
		return "", errors.New("SSH key with options: only type, key and remark are taken")
	}
	out := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	comment = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, comment)
	if comment != "" {
		out += " " + comment
	}
	return out, nil
}
