package seed

import (
	"fmt"
	"regexp"
	"strings"
)

// Provision is what a seed gives the system beside an invitation. It counts
// once, at the first boot.
type Provision struct {
	HostName string   `json:"host_name,omitempty"`
	SSHKeys  []string `json:"ssh_keys,omitempty"` // of root
	Users    []User   `json:"users,omitempty"`
	Origin   string   `json:"origin"` // for people
}

// Empty says whether it gives nothing.
func (p Provision) Empty() bool {
	return p.HostName == "" && len(p.SSHKeys) == 0 && len(p.Users) == 0
}

// User is an account to make.
type User struct {
	Name         string   `json:"name"`
	Comment      string   `json:"comment,omitempty"`
	Shell        string   `json:"shell,omitempty"`  // "" is /bin/bash
	Groups       []string `json:"groups,omitempty"` // beside the user's own; those that are not there are left out
	SSHKeys      []string `json:"ssh_keys,omitempty"`
	PasswordHash string   `json:"-"`              // crypt(5); "" is no password
	Sudo         bool     `json:"sudo,omitempty"` // may do everything, without a password
}

var (
	userName  = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,30}$`) // useradd(8)
	shellPath = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)
	cryptHash = regexp.MustCompile(`^\$[0-9a-z]+\$[./0-9A-Za-z$=,]{8,200}$`) // crypt(5)
)

func (u *User) check() error {
	switch {
	case !userName.MatchString(u.Name):
		return fmt.Errorf("user %.40q: no name for a user", u.Name)
	case u.Shell != "" && !shellPath.MatchString(u.Shell):
		return fmt.Errorf("user %s: shell %.40q is no path", u.Name, u.Shell)
	case strings.ContainsAny(u.Comment, ":\n\r\x00"):
		return fmt.Errorf("user %s: the comment has a colon or a line end", u.Name)
	case u.PasswordHash != "" && !cryptHash.MatchString(u.PasswordHash):
		return fmt.Errorf("user %s: the password is not hashed (crypt(5))", u.Name)
	}
	for _, g := range u.Groups {
		if !userName.MatchString(g) {
			return fmt.Errorf("user %s: group %.40q", u.Name, g)
		}
	}
	return nil
}
