package recipe

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"cloudy/firstboot/nodeconfig"
)

// The patterns come from: Debian policy 5.6.1 (package names), deb-version(7),
// RFC 1123 (host names), RFC 6763 section 7 (service types), adduser's
// NAME_REGEX (user names), systemd.unit(5) (unit names).
var (
	identifierPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)
	wordPattern       = regexp.MustCompile(`^[^\s\x00-\x1f\x7f]+$`)
	packagePattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
	versionPattern    = regexp.MustCompile(`^([0-9]+:)?[0-9][A-Za-z0-9.+~-]*$`)
	suitePattern      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~/-]*$`)
	fingerprintRE     = regexp.MustCompile(`^([0-9A-F]{40}|[0-9A-F]{64})$`)
	userPattern       = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
	unitPattern       = regexp.MustCompile(`^[A-Za-z0-9:_.\\@-]+\.(service|socket|device|mount|automount|swap|target|path|timer|slice|scope)$`)
	hostLabelPattern  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	localePattern     = regexp.MustCompile(`^(C|POSIX|[a-z]{2,3}(_[A-Z]{2})?)(\.[A-Za-z0-9-]+)?(@[a-z]+)?$`)
	timezonePattern   = regexp.MustCompile(`^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$`)
	sshKeyPattern     = regexp.MustCompile(`^((ssh|ecdsa)-[a-z0-9-]+|sk-(ssh|ecdsa)-[a-z0-9-]+@openssh\.com) [A-Za-z0-9+/]+={0,2}( .*)?$`)
	interfacePattern  = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{0,14}$`) // netdevice(7): 15 characters
	invitationPattern = regexp.MustCompile(`^cloudy1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}$`)
	serviceTypeRE     = regexp.MustCompile(`^_[A-Za-z0-9]([A-Za-z0-9-]{0,13}[A-Za-z0-9])?\._(tcp|udp)$`)
	debconfPattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+/[^\s]+$`)
	overlayPattern    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
)

// Architectures that Debian 13 has, and i386, which lives on for small nodes.
func architectures() []string {
	return []string{"amd64", "arm64", "armel", "armhf", "i386", "ppc64el", "riscv64", "s390x"}
}

func matching(re *regexp.Regexp, complaint string) func(string) error {
	return func(s string) error {
		if re.MatchString(s) {
			return nil
		}
		return fmt.Errorf("%q %s", s, complaint)
	}
}

func identifier(s string) error {
	return matching(identifierPattern, "is no name; letters, digits, - and _ make one")(s)
}

func word(s string) error {
	return matching(wordPattern, "must be one word without spaces")(s)
}

func packageName(s string) error {
	return matching(packagePattern, "is no package name; it has two or more small letters, digits, +, - and .")(s)
}

func version(s string) error {
	return matching(versionPattern, "is no version")(s)
}

func suite(s string) error {
	if strings.Contains(s, "..") || strings.Contains(s, "//") {
		return fmt.Errorf("%q is no suite", s)
	}
	if s == "./" {
		return nil
	}
	return matching(suitePattern, "is no suite")(s)
}

func fingerprint(s string) error {
	return matching(fingerprintRE, "is no key fingerprint; it has 40 or 64 hexadecimal digits, in capitals, without spaces")(s)
}

func unit(s string) error {
	if err := matching(unitPattern, "is no unit name; it needs its suffix, as in \"ssh.service\"")(s); err != nil {
		return err
	}
	return nil
}

func userName(s string) error {
	return matching(userPattern, "is no name of a user or group; small letters, digits, - and _ make one, 32 at most")(s)
}

func userOrNumber(s string) error {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil && n < 1<<31 {
		return nil
	}
	return userName(s)
}

func gecos(s string) error {
	if strings.ContainsAny(s, ":\n") {
		return errors.New("must not have a colon or a line break")
	}
	return nil
}

func architecture(s string) error {
	if slices.Contains(architectures(), s) {
		return nil
	}
	for debian, others := range map[string][]string{
		"amd64": {"x86_64", "x64", "x86-64"}, "arm64": {"aarch64"}, "armhf": {"armv7", "armv7l", "arm"},
		"i386": {"x86", "i586", "i686"}, "ppc64el": {"ppc64le", "powerpc64le"},
	} {
		if slices.Contains(others, s) {
			return fmt.Errorf("%q is not known; Debian calls it %q", s, debian)
		}
	}
	return oneOfError(s, architectures())
}

func oneOfError(s string, values []string) error {
	if best := Nearest(s, values); best != "" {
		return fmt.Errorf("%q is not known; did you mean %q?", s, best)
	}
	return fmt.Errorf("%q is not known; it is one of %s", s, strings.Join(values, ", "))
}

func absoluteURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme == "":
		return fmt.Errorf("%q is no URL", s)
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "file":
		return fmt.Errorf("%q: only http, https and file work", s)
	case u.Scheme != "file" && u.Host == "":
		return fmt.Errorf("%q has no host", s)
	case u.User != nil:
		return errors.New("must not hold a user name or password; the recipe is public")
	case u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("%q must not have ? or #", s)
	}
	return nil
}

func packageGlob(s string) error {
	if err := packageName(strings.NewReplacer("*", "xx", "?", "x").Replace(s)); err != nil {
		return fmt.Errorf("%q is no package name", s)
	}
	return nil
}

func absolutePath(s string) error {
	switch {
	case !strings.HasPrefix(s, "/"):
		return fmt.Errorf("%q must be an absolute path in the image", s)
	case s == "/":
		return errors.New("must not be the root itself")
	case path.Clean(s) != s:
		return fmt.Errorf("%q: write it as %q", s, path.Clean(s))
	case strings.ContainsAny(s, "\x00\n"):
		return errors.New("must not have a line break or NUL")
	}
	return nil
}

func relativePath(s string) error {
	switch {
	case strings.HasPrefix(s, "/"):
		return fmt.Errorf("%q must be relative to the recipe folder", s)
	case s == "" || !validName(s):
		return fmt.Errorf("%q is not inside the recipe folder", s)
	}
	return nil
}

func absoluteGlob(s string) error {
	if err := absolutePath(s); err != nil {
		return err
	}
	return validGlob(s)
}

func validGlob(s string) error {
	if !doublestar.ValidatePattern(s) {
		return fmt.Errorf("%q is no valid glob", s)
	}
	return nil
}

func globLabel(s string) error {
	if strings.HasPrefix(s, "/") {
		return fmt.Errorf("%q must be relative to the overlay; leave the first / out", s)
	}
	return validGlob(s)
}

func excludeGlob(s string) error {
	if !strings.HasPrefix(strings.TrimPrefix(s, "!"), "/") {
		return fmt.Errorf("%q must begin with /", s)
	}
	if strings.ContainsAny(s, "\x00\n") {
		return errors.New("must not have a line break")
	}
	return nil
}

func hostname(s string) error {
	if len(s) > 64 {
		return fmt.Errorf("%q is too long; Linux has 64 characters at most", s)
	}
	for l := range strings.SplitSeq(s, ".") {
		if !hostLabelPattern.MatchString(l) {
			return fmt.Errorf("%q is no host name; letters, digits and - make one", s)
		}
	}
	return nil
}

func locale(s string) error {
	return matching(localePattern, "is no locale; write it as \"en_GB.UTF-8\"")(s)
}

func timezone(s string) error {
	return matching(timezonePattern, "is no time zone; write it as \"Europe/Madrid\"")(s)
}

func passwordHash(s string) error {
	if !strings.HasPrefix(s, "$") || strings.Count(s, "$") < 3 || strings.ContainsAny(s, ": \n") {
		// The value is not repeated here: it may be a password.
		return errors.New("is no crypt(5) hash; never write a password, run mkpasswd and write its output")
	}
	return nil
}

func sshKey(s string) error {
	if strings.Contains(s, "PRIVATE KEY") {
		return errors.New("is a private key; write the public one")
	}
	if strings.ContainsAny(s, "\n\r") {
		return errors.New("must be one line; trim the line break with chomp()")
	}
	return matching(sshKeyPattern, "is no SSH public key")(s)
}

func kernelArgument(s string) error {
	if err := word(s); err != nil {
		return err
	}
	if strings.HasPrefix(s, "root=") {
		return fmt.Errorf("%q: the target sets root= itself", s)
	}
	return nil
}

func serviceType(s string) error {
	return matching(serviceTypeRE, "is no DNS-SD type; write it as \"_http._tcp\"")(s)
}

func debconfQuestion(s string) error {
	return matching(debconfPattern, "is no debconf question; write it as \"package/question\"")(s)
}

func overlayLabel(s string) error {
	return matching(overlayPattern, "is no name of an overlay")(s)
}

func network(s string) error {
	if !nodeconfig.ValidNetwork(s) {
		return fmt.Errorf("%q is no name of a network; small letters, digits, - and . make one", s)
	}
	return nil
}

// exampleInvitation looks like one, and nobody signed it.
const exampleInvitation = "cloudy1.ZXhhbXBsZQ.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func invitation(s string) error {
	if !invitationPattern.MatchString(s) {
		// It is not repeated here: it may be most of a secret.
		return errors.New("is no invitation; write the line that begins with cloudy1., whole")
	}
	return nil
}

func prefix4(s string) error {
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || !p.Addr().Is4() || p.Bits() > 28:
		return fmt.Errorf("%q is no IPv4 prefix of 28 bits or less; write it as \"10.20.0.0/16\"", s)
	case p != p.Masked():
		return fmt.Errorf("%q has bits behind its length; write it as %q", s, p.Masked())
	}
	return nil
}

func interfaceName(s string) error {
	return matching(interfacePattern, "is no interface name; 15 letters, digits, - and _ at most make one")(s)
}

func address(s string) error {
	if _, err := netip.ParseAddr(s); err != nil {
		return fmt.Errorf("%q is no IP address", s)
	}
	return nil
}
