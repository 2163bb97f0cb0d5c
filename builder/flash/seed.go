package flash

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"

	"cloudy/builder/fail"
)

// Seed is what a node may be told before its first boot.
type Seed struct {
	Invitation string   // into the mesh
	Hostname   string   // its name
	SSHKeys    []string // who may log in as root, as in authorized_keys
}

// hostnameForm is one label of a host name (RFC 1123, section 2.1).
var hostnameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Text is the seed as SeedFile has it, or nil when nothing is told. What
// the node would not understand is the user's error.
func (s Seed) Text() ([]byte, error) {
	if s.Invitation == "" && s.Hostname == "" && len(s.SSHKeys) == 0 {
		return nil, nil
	}
	var b strings.Builder
	b.WriteString("# What this node is told before its first boot. Any editor can change it.\r\n")
	if s.Invitation != "" {
		if strings.ContainsAny(s.Invitation, " \t\r\n") || !strings.HasPrefix(s.Invitation, "cloudy1.") {
			return nil, fail.WithHint(fail.User, fmt.Errorf("this is no invitation: %.20q", s.Invitation), `"cloudy-node invite" on a node of the mesh makes one; it begins with cloudy1.`)
		}
		b.WriteString("invitation=" + s.Invitation + "\r\n")
	}
	if s.Hostname != "" {
		if !hostnameForm.MatchString(s.Hostname) {
			return nil, fail.WithHint(fail.User, fmt.Errorf("host name %q", s.Hostname), "small letters, digits and hyphens, at most 63")
		}
		b.WriteString("hostname=" + s.Hostname + "\r\n")
	}
	for _, k := range s.SSHKeys {
		if err := checkKey(k); err != nil {
			return nil, err
		}
		b.WriteString("ssh-key=" + strings.TrimSpace(k) + "\r\n")
	}
	return []byte(b.String()), nil
}

// checkKey wants one line of authorized_keys (sshd(8)) without options.
func checkKey(line string) error {
	bad := func(why string) error {
		return fail.WithHint(fail.User, fmt.Errorf("SSH key %.30q: %s", line, why), "a public key is one line such as that of ~/.ssh/id_ed25519.pub")
	}
	line = strings.TrimSpace(line)
	if strings.Contains(line, "PRIVATE KEY") {
		return bad("this is a private key, which nobody else may have")
	}
	w := strings.Fields(line)
	if len(w) < 2 || strings.ContainsAny(line, "\r\n") {
		return bad("not a public key")
	}
	blob, err := base64.StdEncoding.DecodeString(w[1])
	// The blob begins with the type once more (RFC 4253, section 6.6).
	if err != nil || len(blob) < 4 || int64(binary.BigEndian.Uint32(blob)) > int64(len(blob)-4) || string(blob[4:4+binary.BigEndian.Uint32(blob)]) != w[0] {
		return bad("not a public key")
	}
	return nil
}
