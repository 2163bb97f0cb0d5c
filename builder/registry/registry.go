// Package registry moves images and files to and from registries of the OCI
// distribution specification 1.1: container images with several
// architectures under one tag, any file as an OCI artefact (as ORAS has
// them), bills of materials and provenance as referrers, and layers of
// builds as a shared cache.
//
// Credentials are those of docker and podman: config.json in $DOCKER_CONFIG
// or ~/.docker with its credential helpers, $REGISTRY_AUTH_FILE and
// containers/auth.json.
package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"cloudy/builder/fail"
)

// Options shape a Client. The zero value is for programs.
type Options struct {
	// Insecure speaks plain HTTP and takes any certificate. Registries on this
	// machine (127.0.0.0/8, ::1, localhost) may speak HTTP without it.
	Insecure bool
	Keychain authn.Keychain // nil is docker's
	// Wait is the time before the first retry, each later one takes three times
	// as long; 0 is one second.
	Wait time.Duration
	// Stall ends a download from which nothing came for so long, and begins
	// another; 0 is one minute.
	Stall time.Duration
	// Answer is how long an answer may take when all is sent; 0 is ten minutes,
	// for a registry moves a blob of gigabytes to its place first.
	Answer time.Duration
}

// tries is how often a request is made until it is given up.
const tries = 4

// Client speaks to registries. Its methods are safe for concurrent use.
type Client struct {
	o         Options
	transport http.RoundTripper
}

// New returns a client.
func New(o Options) *Client {
	if o.Keychain == nil {
		o.Keychain = authn.DefaultKeychain
	}
	if o.Wait == 0 {
		o.Wait = time.Second
	}
	if o.Stall == 0 {
		o.Stall = time.Minute
	}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   20 * time.Second,
		ExpectContinueTimeout: time.Second,
		ResponseHeaderTimeout: cmp.Or(o.Answer, 10*time.Minute),
	}
	if o.Insecure {
		t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // asked for
	}
	return &Client{o: o, transport: &guard{next: t, insecure: o.Insecure}}
}

// errPlain is a request over plain HTTP to another machine.
var errPlain = errors.New("it does not speak HTTPS")

// guard lets plain HTTP through to this machine alone, or where it was asked
// for: a registry that turns a client to HTTP would get its credentials.
type guard struct {
	next     http.RoundTripper
	insecure bool
}

func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "http" && !g.insecure && !loopback(r.URL.Hostname()) {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, errPlain
	}
	return g.next.RoundTrip(r)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// remote are the options for go-containerregistry.
func (c *Client) remote(ctx context.Context, more ...remote.Option) []remote.Option {
	return append([]remote.Option{
		remote.WithContext(ctx), remote.WithTransport(c.transport), remote.WithAuthFromKeychain(c.o.Keychain),
		remote.WithUserAgent("cloudy"), remote.WithJobs(3),
		remote.WithRetryBackoff(remote.Backoff{Duration: c.o.Wait, Factor: 3, Jitter: 0.1, Steps: tries}),
	}, more...)
}

// Parse reads a reference: REGISTRY/REPOSITORY with :TAG or @DIGEST; without
// either the tag is "latest". The registry has to be named, for what a name
// without one means differs from program to program. Errors are the user's.
func (c *Client) Parse(text string) (name.Reference, error) {
	ref, err := name.ParseReference(text, c.names()...)
	if err == nil {
		err = namesRegistry(text)
	}
	if err != nil {
		return nil, badReference(text)
	}
	return ref, nil
}

// Repository reads a reference that has neither tag nor digest.
func (c *Client) Repository(text string) (name.Repository, error) {
	repo, err := name.NewRepository(text, c.names()...)
	if err == nil {
		err = namesRegistry(text)
	}
	if err != nil {
		return repo, fail.WithHint(fail.User, fmt.Errorf("%q is no repository of a registry", text),
			"write it as registry.example.org/cloudy/cache, in small letters and without a tag")
	}
	return repo, nil
}

func (c *Client) names() []name.Option {
	if c.o.Insecure {
		return []name.Option{name.Insecure}
	}
	return nil
}

func badReference(text string) error {
	return fail.WithHint(fail.User, fmt.Errorf("%q is no reference to a registry", text),
		"write it as registry.example.org/cloudy/node:1.0, with the registry's name and in small letters")
}

// namesRegistry applies docker's rule for what is the name of a registry
// (distribution/reference, splitDockerDomain).
func namesRegistry(text string) error {
	host, rest, ok := strings.Cut(text, "/")
	if !ok || rest == "" || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return badReference(text)
	}
	return nil
}

// Platform is what registries call a Debian architecture (image-spec,
// image-index.md); ok is false for one that they do not have.
func Platform(arch string) (p v1.Platform, ok bool) {
	p, ok = map[string]v1.Platform{
		"amd64": {Architecture: "amd64"}, "arm64": {Architecture: "arm64", Variant: "v8"}, "i386": {Architecture: "386"},
		"armhf": {Architecture: "arm", Variant: "v7"}, "armel": {Architecture: "arm", Variant: "v5"},
		"riscv64": {Architecture: "riscv64"}, "ppc64el": {Architecture: "ppc64le"}, "s390x": {Architecture: "s390x"},
	}[arch]
	p.OS = "linux"
	return p, ok
}
