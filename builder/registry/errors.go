package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"cloudy/builder/fail"
)

// Errors that callers tell apart.
var (
	// ErrDigest means that bytes are not those that a manifest names.
	ErrDigest = errors.New("content does not have its digest")
	// ErrNotFound is a reference to nothing.
	ErrNotFound = errors.New("not found")
	// ErrOther is something else than what is looked for under a tag.
	ErrOther = errors.New("something else")
)

// explain turns what went wrong with a registry into what its user can do.
// doing says what was tried: "push to".
func (c *Client) explain(doing string, ref name.Reference, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if fail.KindOf(err) != fail.Internal {
		return err // said already
	}
	reg := ref.Context().Registry
	wrap := func(what string) error { return fmt.Errorf("%s %s: %s: %w", doing, ref, what, err) }
	var status *transport.Error
	var unknown x509.UnknownAuthorityError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &status):
		return c.status(wrap, ref, status)
	case errors.Is(err, errPlain):
		return fail.WithHint(fail.Network, wrap("no HTTPS"), "give it a certificate, or allow plain HTTP for it with --insecure")
	case errors.As(err, &unknown), errors.As(err, &verify):
		return fail.WithHint(fail.Network, wrap("its certificate is not trusted here"), "add its authority to this machine's, or take any certificate with --insecure")
	case errors.As(err, &record):
		return fail.WithHint(fail.Network, wrap("it does not speak TLS"), "plain HTTP has to be allowed with --insecure")
	case errors.Is(err, ErrDigest):
		return fail.Mark(fail.Network, fmt.Errorf("%s %s: %w", doing, ref, err))
	case errors.Is(err, syscall.ECONNREFUSED):
		return fail.WithHint(fail.Network, wrap("nobody answers"), fmt.Sprintf("is %s running and the name right?", reg))
	}
	var lookup *net.DNSError
	if errors.As(err, &lookup) {
		return fail.WithHint(fail.Network, wrap("no such host"), "is the registry's name right?")
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EROFS) {
		return fail.Mark(fail.Host, fmt.Errorf("%s %s: %w", doing, ref, err))
	}
	return fail.Mark(fail.Network, fmt.Errorf("%s %s: %w", doing, ref, err))
}

// status explains an answer by its status code.
func (c *Client) status(wrap func(string) error, ref name.Reference, e *transport.Error) error {
	reg := ref.Context().Registry
	switch code := e.StatusCode; {
	case code == http.StatusUnauthorized:
		if c.anonymous(ref) {
			return fail.WithHint(fail.Network, wrap("it wants credentials, and there are none for it"),
				fmt.Sprintf("'docker login %[1]s', 'podman login %[1]s' or 'skopeo login %[1]s' writes them", reg))
		}
		return fail.WithHint(fail.Network, wrap("it does not accept the credentials"), fmt.Sprintf("log in to %s again", reg))
	case code == http.StatusForbidden:
		hint := "ask its owner for the right to do so, or name a repository of yours"
		if c.anonymous(ref) {
			hint = fmt.Sprintf("there are no credentials for it: 'docker login %s' writes them", reg)
		}
		return fail.WithHint(fail.Network, wrap("it refuses this"), hint)
	case code == http.StatusNotFound:
		return fail.WithHint(fail.User, fmt.Errorf("%w: %w", ErrNotFound, wrap("there is no such thing")), "are repository and tag right?")
	case code == http.StatusTooManyRequests:
		return fail.WithHint(fail.Network, wrap("it has had too many requests"), "try again later")
	case code == http.StatusRequestEntityTooLarge:
		return fail.WithHint(fail.Network, wrap("it does not take files of this size"), "the limit is that of the registry or of a proxy before it")
	case code >= 500:
		return fail.WithHint(fail.Network, wrap("it is in trouble itself"), "its log says more; try again later")
	}
	return fail.Mark(fail.Network, wrap("it refuses"))
}

// anonymous says that there are no credentials for a registry.
func (c *Client) anonymous(ref name.Reference) bool {
	a, err := c.o.Keychain.Resolve(ref.Context())
	return err == nil && a == authn.Anonymous
}
