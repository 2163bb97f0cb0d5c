package rootfs

import (
	"bytes"
	"path"
	"strings"

	"cloudy/builder/progress"
	"cloudy/builder/sandbox"
)

// ca-certificates asks grep twice for each of its 150 certificates whether a
// list has it, and update-ca-certificates starts five programs for each: some
// 1,400 processes for what is a look at a list and a link.

const (
	certConfig = infoPath + "/ca-certificates.config"
	certUpdate = "usr/sbin/update-ca-certificates"
	certConf   = "etc/ca-certificates.conf"
	certFolder = "usr/share/ca-certificates"
	certLocal  = "usr/local/share/ca-certificates"
	certLinks  = "etc/ssl/certs"
	certBundle = certLinks + "/ca-certificates.crt.new"
)

// quickCertConfig returns ca-certificates' config script with its two
// questions to grep answered by the shell, or nil where they are not asked in
// the words that are known.
func quickCertConfig(script []byte) []byte {
	quick := script
	for _, list := range []string{"CERTS_DISABLED", "CERTS_TRUST"} {
		slow := []byte(`(echo "$` + list + `" | grep -F -q -x "$crt") > /dev/null 2>&1; then`)
		if bytes.Count(quick, slow) != 1 {
			return nil
		}
		quick = bytes.Replace(quick, slow, []byte(`cloudy_listed "$`+list+`" "$crt"; then`), 1)
	}
	const first = "#!/bin/sh\n"
	rest, ok := bytes.CutPrefix(quick, []byte(first))
	if !ok {
		return nil
	}
	// echo takes a backslash for more than that; a pattern of several lines is
	// several patterns.
	return append([]byte(first+`cloudy_listed() {
	case "$1$2" in *\\*) echo "$1" | grep -F -q -x "$2" >/dev/null 2>&1; return ;; esac
	case "
$1
" in *"
$2
"*) return 0 ;; esac
	return 1
}
`), rest...)
}

// certConfigBind puts that in place.
func (h *held) certConfigBind() []sandbox.Bind {
	script, err := h.in.db.root.ReadFile(certConfig)
	if err != nil {
		return nil
	}
	if quick := quickCertConfig(script); quick != nil {
		return []sandbox.Bind{{Data: quick, Mode: 0o755, Target: "/" + certConfig}}
	}
	return nil
}

// knownCertUpdates are the SHA-256 of the update-ca-certificates that
// linkCertificates does the same as, in a root that has no certificates yet.
var knownCertUpdates = []string{
	"2cb06c85b5f01c4f6b72c3983d9f66d44aac0a7ac997ee55e7e429aedbc3934d", // ca-certificates 20250419+deb13u1 (trixie)
}

// linkCertificates does what update-ca-certificates does up to the links by
// hash, which `openssl rehash` makes. Where anything is out of the ordinary it
// does nothing and returns false.
func (h *held) linkCertificates() (bool, error) {
	root := h.in.db.root
	if program, err := root.ReadFile(certUpdate); err != nil || !known(program, knownCertUpdates) {
		return false, nil
	}
	conf, err := root.ReadFile(certConf)
	if err != nil {
		return false, nil
	}
	if l, err := root.Open(certLocal); err == nil {
		names, err := l.Readdirnames(1)
		l.Close()
		if len(names) > 0 || err == nil {
			return false, nil // the administrator's own
		}
	}
	d, err := root.Open(certLinks)
	if err != nil {
		return false, nil
	}
	names, err := d.Readdirnames(-1)
	d.Close()
	if len(names) > 0 || err != nil {
		return false, nil
	}
	var bundle bytes.Buffer
	links := map[string]string{}
	for line := range strings.Lines(string(conf)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		file := certFolder + "/" + line
		base := strings.TrimSuffix(path.Base(file), ".crt")
		info, err := root.Lstat(file)
		if err != nil || !info.Mode().IsRegular() || line[0] == '!' || strings.TrimSpace(line) != line || path.Clean(file) != file || base == "" {
			return false, nil
		}
		data, err := root.ReadFile(file)
		if err != nil {
			return false, err
		}
		bundle.Write(data)
		if n := len(data); n > 0 && data[n-1] != '\n' {
			bundle.WriteByte('\n')
		}
		name := strings.NewReplacer(" ", "_", "(", "=", ")", "=", ",", "_").Replace(base) + ".pem"
		if links[name] != "" {
			return false, nil
		}
		links[name] = "/" + file
	}
	if len(links) == 0 {
		return false, nil
	}
	for name, to := range links {
		if err := root.Symlink(to, certLinks+"/"+name); err != nil {
			return false, hostErr(err)
		}
	}
	return true, hostErr(root.write(certBundle, bundle.Bytes(), 0o644))
}

// certificates makes what update-ca-certificates makes of a root that has no
// certificates yet.
func (h *held) certificates() error {
	c := command{what: "update-ca-certificates", args: []string{"update-ca-certificates", "--hooksdir", ""}}
	quick, err := h.linkCertificates()
	if err != nil {
		return err
	}
	if quick {
		c.args = []string{"/bin/sh", "-ec", "cd /" + certLinks + "; openssl rehash . >/dev/null; mv -f ca-certificates.crt.new ca-certificates.crt"}
	}
	c.step = progress.Begin(h.ctx, "certificates", 0, progress.Items)
	return c.step.End(h.in.runner.run(h.ctx, c))
}
