package seed

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"cloudy/firstboot/durable"
	"cloudy/firstboot/membership"
	"cloudy/firstboot/nodeconfig"
)

// An invitation is a secret, and may be good for more nodes than this one: when
// the node has used it, it goes from everything that the node boots from. What
// is left is a NoCloud drive, which is read-only and not the node's own, and
// the configuration of a boot loader that is a program (GRUB's).

const (
	// commandLine is the kernel's command line beside the boot partition's
	// other files, where a Raspberry Pi's firmware reads it.
	commandLine = "cmdline.txt"

	// credential is where a disk has systemd's credential (systemd.exec(5),
	// LoadCredential=).
	credential = "etc/credstore/cloudy.invitation"
)

// Used wipes the seed wherever it lies on a disk.
func (s Sources) Used(x Seed) error {
	if s.Own(x) {
		return durable.Remove(x.File)
	}
	return s.Wipe(x.Token)
}

// Wipe is Used for a token, wherever it stands. Only root can; and since it does
// so at the daemon's word, nothing but a whole invitation can be wiped.
func (s Sources) Wipe(token string) error {
	if token == "" || membership.FindToken(token) != token {
		return errors.New("this is no invitation")
	}
	var errs []error
	paths, contents := s.cards()
	for i, path := range paths {
		if membership.FindToken(string(contents[i])) == token {
			errs = append(errs, WipeCard(path))
		}
	}
	for _, dir := range bootFolders {
		errs = append(errs, blank(filepath.Join(s.Root, dir, commandLine), "cloudy.invite="+token))
	}
	path := filepath.Join(s.Root, credential)
	if data, ok := readSmall(path); ok && membership.FindToken(string(data)) == token {
		errs = append(errs, overwrite(path), durable.Remove(path))
	}
	path = filepath.Join(s.Root, nodeconfig.Path)
	if data, err := os.ReadFile(path); err == nil && bytes.Contains(data, []byte(token)) {
		errs = append(errs, durable.Rewrite(path, bytes.ReplaceAll(data, []byte(token), nil)))
	}
	return errors.Join(errs...)
}

// blank makes blanks of a word in a file that is too important to be replaced:
// in place, so that at any moment it is a command line to boot with.
func blank(path, word string) error {
	data, ok := readSmall(path)
	if !ok {
		return nil
	}
	at := bytes.Index(data, []byte(word))
	if at < 0 {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(bytes.Repeat([]byte(" "), len(word)), int64(at))
	return errors.Join(err, f.Sync(), f.Close())
}

// overwrite puts zeros over a file, so that its blocks do not keep the secret
// as far as the medium obeys.
func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(make([]byte, info.Size()), 0)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// WipeCard overwrites the file and leaves a word for the owner in its place.
func WipeCard(path string) error {
	if err := overwrite(path); err != nil {
		return err
	}
	// FAT has no modes.
	return durable.WriteFile(path, []byte("This node has joined its mesh; the invitation was used and removed.\r\n"), fs.FileMode(0o644))
}
