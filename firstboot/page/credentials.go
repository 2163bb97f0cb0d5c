package page

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"strings"
	"sync"
	"time"

	"cloudy/firstboot/durable"
)

// The accounts. Guest reads, admin changes.
const (
	Admin = "admin"
	Guest = "guest"
)

var accounts = []string{Admin, Guest}

// Credentials are the accounts' passwords and the page's TLS key: made when
// a node gets its identity, in one file, mode 0600.
type Credentials struct {
	path string
	demo bool

	mu   sync.Mutex
	file credentialsFile
	tls  tls.Certificate
}

type credentialsFile struct {
	Owner       string            `json:"owner"` // the node's name: a copy of the file counts for nobody else
	Certificate []byte            `json:"certificate"`
	Key         []byte            `json:"key"` // RFC 5915
	Accounts    map[string]secret `json:"accounts"`
}

// secret is a password that was made here as it is, so that the owner can be
// told, and one that somebody chose as a hash. There is never both: a hash
// beside the password protects nothing, and takes a small board seconds at its
// first start.
type secret struct {
	Hash  string `json:"hash,omitempty"`
	Plain string `json:"plain,omitempty"`
}

func (s secret) check(password string) (bool, error) {
	if s.Plain != "" {
		return subtle.ConstantTimeCompare([]byte(s.Plain), []byte(password)) == 1, nil
	}
	return checkPassword(s.Hash, password)
}

// Password is an account's password as its owner is told.
type Password struct {
	Account  string `json:"account"`
	Password string `json:"password,omitempty"` // empty when somebody chose one: it is not known here
}

// OpenCredentials reads the credentials of the node with that name, or makes
// them. In a demo image the guest's password is "guest".
func OpenCredentials(path, owner, host string, demo bool) (*Credentials, error) {
	c := &Credentials{path: path, demo: demo}
	err := durable.ReadJSON(path, &c.file)
	switch {
	case err == nil && c.file.Owner == owner:
	case err == nil, errors.Is(err, fs.ErrNotExist):
		if err := c.make(owner, host); err != nil {
			return nil, err
		}
	default:
		return nil, err
	}
	c.tls = tls.Certificate{Certificate: [][]byte{c.file.Certificate}}
	if c.tls.PrivateKey, err = x509.ParseECPrivateKey(c.file.Key); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, a := range accounts {
		if c.file.Accounts[a] == (secret{}) {
			return nil, fmt.Errorf("%s: no account %s", path, a)
		}
	}
	return c, nil
}

// certificateLife is the validity of the page's certificate. It begins before
// any board's clock and ends after any board's life: its hash is what counts.
var certificateLife = [2]time.Time{time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC)}

// Organization begins the organization in the certificate; the node's name
// ends it.
const Organization = "Cloudy node "

func (c *Credentials) make(owner, host string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // browsers take no Ed25519
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	names := []string{"localhost"}
	if host != "" {
		names = append(names, host, host+".local")
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: host, Organization: []string{Organization + owner}},
		NotBefore: certificateLife[0], NotAfter: certificateLife[1],
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	cert, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	f := credentialsFile{Owner: owner, Certificate: cert, Key: der, Accounts: map[string]secret{}}
	for _, a := range accounts {
		f.Accounts[a] = c.fresh(a)
	}
	c.file = f
	return durable.WriteJSON(c.path, f)
}

func (c *Credentials) fresh(account string) secret {
	if c.demo && account == Guest {
		return secret{Plain: Guest}
	}
	return secret{Plain: newPassword()}
}

// Check says whether account and password belong together.
func (c *Credentials) Check(account, password string) (bool, error) {
	c.mu.Lock()
	s, ok := c.file.Accounts[account]
	if !ok {
		s = c.file.Accounts[Admin] // takes as long
	}
	c.mu.Unlock()
	match, err := s.check(password)
	return match && ok, err
}

// Set gives an account a password that its owner chose.
func (c *Credentials) Set(account, password string) error {
	hash, err := hashPassword(password)
	if err != nil {
		return err
	}
	return c.put(account, secret{Hash: hash})
}

// Renew gives an account a password made here and returns it.
func (c *Credentials) Renew(account string) (Password, error) {
	if account != Admin && account != Guest {
		return Password{}, fmt.Errorf("there is no account %.40q: there are %s", account, strings.Join(accounts, " and "))
	}
	s := c.fresh(account)
	return Password{account, s.Plain}, c.put(account, s)
}

func (c *Credentials) put(account string, s secret) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.file
	f.Accounts = map[string]secret{}
	for a, x := range c.file.Accounts {
		f.Accounts[a] = x
	}
	f.Accounts[account] = s
	if err := durable.WriteJSON(c.path, f); err != nil {
		return err
	}
	c.file = f
	return nil
}

// Passwords returns what the owner is told.
func (c *Credentials) Passwords() []Password {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Password
	for _, a := range accounts {
		out = append(out, Password{a, c.file.Accounts[a].Plain})
	}
	return out
}

// Fingerprint is the certificate's SHA-256, as browsers show it.
func (c *Credentials) Fingerprint() string {
	sum := sha256.Sum256(c.tls.Certificate[0]) // which nobody changes
	return strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")
}
