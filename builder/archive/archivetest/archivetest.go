// Package archivetest makes small signed Debian archives for tests: .deb
// files, pool, Packages, Release and InRelease, all in Go and the same bytes
// on every run but for the signatures. An archive is written to a folder
// (a file:// mirror) or served by HTTP.
//
//	arc := archivetest.Archive{Suites: []archivetest.Suite{{
//		Name: "trixie",
//		Packages: []archivetest.Package{
//			{Name: "hello", Version: "1.0", Fields: "Depends: libhello (>= 1)", Files: archivetest.Files{
//				"/usr/bin/hello": {Mode: 0o755, Content: "#!/bin/sh\necho hello\n"}}},
//			{Name: "libhello", Version: "1.2"},
//		},
//	}}}
//	srv := archivetest.Serve(t, arc) // srv.URL, srv.Keyring, srv.Fingerprint
package archivetest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Date is the time of everything in an archive that does not say another: a
// Saturday long past, so that signatures are never from the future.
var Date = time.Date(2026, 1, 3, 12, 0, 0, 0, time.UTC)

// Archive is what to make.
type Archive struct {
	Key    *Key // nil: a new one
	Suites []Suite
}

// Suite is one suite of an archive.
type Suite struct {
	Name          string    // "trixie": the folder below dists
	Suite         string    // field Suite; "": Name
	Codename      string    // "": Name
	Architectures []string  // nil: amd64
	Date          time.Time // zero: the package's Date
	ValidUntil    time.Time // zero: no such field
	Fields        string    // more lines of the Release file
	NoByHash      bool      // without by-hash folders
	Detached      bool      // Release and Release.gpg, but no InRelease
	Encodings     []string  // of Packages: ".xz", ".gz", ""; nil: all of them
	SplitAll      bool      // arch-all packages have an index of their own
	Packages      []Package
}

// Write makes the archive in the folder dir, as a mirror carries it, and
// returns the key that signed it.
func (a Archive) Write(dir string) (*Key, error) {
	key := a.Key
	if key == nil {
		var err error
		if key, err = NewKey(); err != nil {
			return nil, err
		}
	}
	for _, s := range a.Suites {
		if err := s.write(dir, key); err != nil {
			return nil, fmt.Errorf("suite %s: %w", s.Name, err)
		}
	}
	return key, nil
}

// write makes the pool and the indexes of one suite.
func (s Suite) write(dir string, key *Key) error {
	if s.Architectures == nil {
		s.Architectures = []string{"amd64"}
	}
	indexes := map[string]*bytes.Buffer{} // by path below the suite
	components := map[string]bool{"main": true}
	for _, p := range s.Packages {
		components[p.component()] = true
	}
	archs := s.Architectures
	if s.SplitAll {
		archs = append([]string{"all"}, archs...)
	}
	for c := range components {
		for _, a := range archs {
			indexes[path.Join(c, "binary-"+a, "Packages")] = &bytes.Buffer{}
		}
	}
	for _, p := range s.Packages {
		data, err := p.Deb()
		if err != nil {
			return fmt.Errorf("package %s: %w", p.Name, err)
		}
		file := p.poolPath()
		if err := writeFile(filepath.Join(dir, file), data); err != nil {
			return err
		}
		stanza := fmt.Sprintf("%sFilename: %s\nSize: %d\nSHA256: %s\n\n", p.control(), file, len(data), sum(data))
		in := []string{p.arch()}
		if p.arch() == "all" && !s.SplitAll {
			in = s.Architectures
		}
		for _, a := range in {
			buf := indexes[path.Join(p.component(), "binary-"+a, "Packages")]
			if buf == nil {
				return fmt.Errorf("package %s: architecture %s is not in the suite", p.Name, a)
			}
			buf.WriteString(stanza)
		}
	}
	return s.writeIndexes(filepath.Join(dir, "dists", s.Name), indexes, sortedKeys(components), archs, key)
}

func (s Suite) writeIndexes(dir string, indexes map[string]*bytes.Buffer, components, archs []string, key *Key) error {
	encodings := s.Encodings
	if encodings == nil {
		encodings = []string{"", ".gz", ".xz"}
	}
	var sums strings.Builder
	for _, name := range sortedKeys(indexes) {
		plain := indexes[name].Bytes()
		listed := append([]string{""}, encodings...) // the plain file is always in Release
		for i, enc := range listed {
			if i > 0 && enc == "" {
				continue
			}
			data, err := Compress(enc, plain)
			if err != nil {
				return err
			}
			fmt.Fprintf(&sums, " %s %d %s\n", sum(data), len(data), name+enc)
			if i == 0 && !contains(encodings, "") {
				continue
			}
			if err := writeFile(filepath.Join(dir, name+enc), data); err != nil {
				return err
			}
			byHash := filepath.Join(dir, path.Dir(name), "by-hash/SHA256", sum(data))
			if !s.NoByHash {
				if err := writeFile(byHash, data); err != nil {
					return err
				}
			}
		}
	}
	return s.writeRelease(dir, s.release(components, archs)+"SHA256:\n"+sums.String(), key)
}

// release returns the fields of the Release file before the hashes.
func (s Suite) release(components, archs []string) string {
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	or := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	date := s.Date
	if date.IsZero() {
		date = Date
	}
	const layout = "Mon, 02 Jan 2006 15:04:05 UTC"
	field("Origin", "Test")
	field("Label", "Test")
	field("Suite", or(s.Suite, s.Name))
	field("Codename", or(s.Codename, s.Name))
	field("Date", date.UTC().Format(layout))
	if !s.ValidUntil.IsZero() {
		field("Valid-Until", s.ValidUntil.UTC().Format(layout))
	}
	if !s.NoByHash {
		field("Acquire-By-Hash", "yes")
	}
	field("Architectures", strings.Join(archs, " "))
	field("Components", strings.Join(components, " "))
	if s.Fields != "" {
		b.WriteString(strings.TrimRight(s.Fields, "\n") + "\n")
	}
	return b.String()
}

func (s Suite) writeRelease(dir, text string, key *Key) error {
	date := s.Date
	if date.IsZero() {
		date = Date
	}
	if err := writeFile(filepath.Join(dir, "Release"), []byte(text)); err != nil {
		return err
	}
	sig, err := key.Detach([]byte(text), date)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, "Release.gpg"), sig); err != nil {
		return err
	}
	if s.Detached {
		return nil
	}
	inline, err := key.Clearsign([]byte(text), date)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "InRelease"), inline)
}

// Compress encodes data as the ending of a file name says: ".xz", ".gz",
// ".zst" or nothing.
func Compress(ending string, data []byte) ([]byte, error) {
	var buf bytes.Buffer
	var w io.WriteCloser
	var err error
	switch ending {
	case "":
		return data, nil
	case ".xz":
		// The default dictionary would cost 8 MiB for a file of some bytes.
		w, err = xz.WriterConfig{DictCap: 1 << 16}.NewWriter(&buf)
	case ".gz":
		w = gzip.NewWriter(&buf)
	case ".zst":
		w, err = zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1))
	default:
		err = fmt.Errorf("unknown compression %q", ending)
	}
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func writeFile(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}
