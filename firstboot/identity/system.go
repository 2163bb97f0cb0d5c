package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"cloudy/firstboot/durable"
)

var machineIDForm = regexp.MustCompile(`^[0-9a-f]{32}\n?$`)

// EnsureMachineID gives the system a machine-id(5) where systemd has not
// done so yet, and says whether it did.
func (f Files) EnsureMachineID() (bool, error) {
	path := f.path("etc/machine-id")
	old, err := os.ReadFile(path)
	if err == nil && machineIDForm.Match(old) {
		return false, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	var raw [16]byte
	rand.Read(raw[:])
	raw[6] = raw[6]&0x0f | 0x40 // a version 4 UUID, as machine-id(5) asks for
	raw[8] = raw[8]&0x3f | 0x80
	return true, durable.WriteFile(path, []byte(hex.EncodeToString(raw[:])+"\n"), 0o444)
}

// sshKeys are the types that sshd is given. RSA is left out: on a small
// board it takes minutes, and every client of this decade knows Ed25519.
var sshKeys = []struct {
	file string
	make func() (crypto.PrivateKey, error)
}{
	{"ssh_host_ed25519_key", func() (crypto.PrivateKey, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}},
	{"ssh_host_ecdsa_key", func() (crypto.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }},
}

// EnsureSSHKeys makes the SSH host keys that are missing or damaged, where
// an SSH server is installed, and says how many it made. sshd -A makes its
// keys in place, so a power cut can leave an empty one; these cannot be.
func (f Files) EnsureSSHKeys(comment string) (int, error) {
	dir := f.path("etc/ssh")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	made := 0
	for _, k := range sshKeys {
		path := dir + "/" + k.file
		if old, err := os.ReadFile(path); err == nil {
			if signer, err := ssh.ParsePrivateKey(old); err == nil {
				// The public half is made from the private one: written
				// second, it may be missing.
				if _, err := durable.Update(path+".pub", publicLine(signer.PublicKey(), comment), 0o644); err != nil {
					return made, err
				}
				continue
			}
		}
		key, err := k.make()
		if err != nil {
			return made, fmt.Errorf("%s: %w", k.file, err)
		}
		block, err := ssh.MarshalPrivateKey(key, comment)
		if err != nil {
			return made, fmt.Errorf("%s: %w", k.file, err)
		}
		signer, err := ssh.NewSignerFromKey(key)
		if err != nil {
			return made, fmt.Errorf("%s: %w", k.file, err)
		}
		if err := durable.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			return made, err
		}
		if err := durable.WriteFile(path+".pub", publicLine(signer.PublicKey(), comment), 0o644); err != nil {
			return made, err
		}
		made++
	}
	return made, nil
}

func publicLine(key ssh.PublicKey, comment string) []byte {
	line := bytes.TrimSuffix(ssh.MarshalAuthorizedKey(key), []byte("\n"))
	return fmt.Appendf(nil, "%s root@%s\n", line, comment)
}

// placeholderHosts are host names that an image has and a node must not keep.
var placeholderHosts = []string{"", "localhost", "debian", "cloudy"}

// EnsureHostName sets the host name to want where the system has none of its
// own, and returns the one that it has then. With a want that was configured
// (force), that one wins.
func (f Files) EnsureHostName(want string, force bool) (string, error) {
	path := f.path("etc/hostname")
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	have := strings.TrimSpace(string(data))
	if !force && !slices.Contains(placeholderHosts, have) {
		return have, nil
	}
	if have != want {
		if err := durable.WriteFile(path, []byte(want+"\n"), 0o644); err != nil {
			return "", err
		}
	}
	if err := f.hostsLine(want); err != nil {
		return "", err
	}
	return want, nil
}

// hostsLine makes 127.0.1.1 mean the host name (Debian's custom, Debian
// reference section 5.1.1), so that sudo and mail servers find it without DNS.
func (f Files) hostsLine(name string) error {
	path := f.path("etc/hosts")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		data = []byte("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	} else if err != nil {
		return err
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == "127.0.1.1" {
			continue
		}
		out = append(out, strings.TrimSuffix(line, "\n")+"\n")
	}
	out = append(out, "127.0.1.1\t"+name+"\n")
	_, err = durable.Update(path, []byte(strings.Join(out, "")), 0o644)
	return err
}

// forgetSystem removes the copied system's own identity. The core stays: it
// is replaced last.
func (f Files) forgetSystem() error {
	for _, k := range sshKeys {
		for _, p := range []string{k.file, k.file + ".pub"} {
			if err := durable.Remove(f.path("etc/ssh/" + p)); err != nil {
				return err
			}
		}
	}
	// The name that the other machine was given is not this one's; that
	// it was given something stays true.
	if p, ok := f.Provisioned(); ok && p.HostName != "" {
		p.HostName = ""
		if err := durable.WriteJSON(f.provisioned(), p); err != nil {
			return err
		}
	}
	// An RSA key that somebody's sshd made is the other machine's as well.
	for _, p := range []string{"etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_rsa_key.pub", "etc/machine-id", "etc/hostname"} {
		if err := durable.Remove(f.path(p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
