package archive

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"cloudy/builder/deb"
	"cloudy/builder/fail"
	"cloudy/builder/fetch"
	"cloudy/builder/store"
)

// index is one Packages file of a suite.
type index struct {
	component, architecture string
	path                    string // below the suite, with the ending of its compression
	file                    File
	plainSize               int64 // bytes when decoded; 0 when the Release file does not say
}

// encodings of a Packages file, best first. Of trixie's main, xz is 9.7 MB
// and takes 0.6 seconds of one processor to decode, gzip 13.3 MB and 0.3
// seconds: the network is what most people have less of, and the decoded
// form is kept.
var encodings = []string{".xz", ".gz", ""}

// choose finds the Packages files that the source wants of a suite.
func (s *Suite) choose() error {
	if strings.HasSuffix(s.Name, "/") {
		ix, ok := s.find("", "", "Packages")
		if !ok {
			return s.lacks("a Packages file")
		}
		s.indexes = []index{ix}
		return nil
	}
	archs := slices.Clone(s.Source.Architectures)
	// Where the suite keeps arch-all packages apart, their index is wanted too.
	if slices.Contains(s.Release.Architectures, "all") && !s.Release.NoAllIndexes && !slices.Contains(archs, "all") {
		archs = append(archs, "all")
	}
	for _, comp := range s.Source.Components {
		if len(s.Release.Components) > 0 && !slices.Contains(s.Release.Components, comp) {
			return s.lacks(fmt.Sprintf("component %q (it has %s)", comp, strings.Join(s.Release.Components, ", ")))
		}
		for _, arch := range archs {
			if arch != "all" && len(s.Release.Architectures) > 0 && !slices.Contains(s.Release.Architectures, arch) {
				return s.lacks(fmt.Sprintf("architecture %q (it has %s)", arch, strings.Join(s.Release.Architectures, ", ")))
			}
			ix, ok := s.find(comp, arch, path.Join(comp, "binary-"+arch, "Packages"))
			if !ok {
				if arch == "all" {
					continue
				}
				return s.lacks(fmt.Sprintf("a package index for component %q and architecture %q", comp, arch))
			}
			s.indexes = append(s.indexes, ix)
		}
	}
	return nil
}

func (s *Suite) find(comp, arch, base string) (index, bool) {
	for _, enc := range encodings {
		if f, ok := s.Release.Files[base+enc]; ok {
			return index{component: comp, architecture: arch, path: base + enc, file: f,
				plainSize: s.Release.Files[base].Size}, true
		}
	}
	return index{}, false
}

func (s *Suite) lacks(what string) error {
	return fail.Mark(fail.User, fmt.Errorf("archive %s, suite %s: %s: %w", s.Source.Name, s.Name, what, ErrNoComponent))
}

// indexes downloads the Packages files that are not in the store.
func (u *updater) indexes(ctx context.Context, suites []*Suite) error {
	var errs []error
	var items []fetch.Item
	for _, s := range suites {
		if err := s.choose(); err != nil {
			errs = append(errs, err)
		}
		for _, ix := range s.indexes {
			if cached(u.store, ix) {
				continue
			}
			items = append(items, s.item(ix))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if len(items) == 0 {
		return nil
	}
	return u.client.Fetch(ctx, items, nil)
}

func (s *Suite) item(ix index) fetch.Item {
	return fetch.Item{
		Name: s.Source.Name + " " + s.Name + " " + ix.path, URLs: s.indexURLs(ix),
		SHA256: ix.file.SHA256, Size: ix.file.Size,
	}
}

// indexURLs lists where an index can be had: by its hash first, because that
// file stays while a mirror is updated.
func (s *Suite) indexURLs(ix index) []string {
	var urls []string
	for _, m := range s.Mirrors {
		at := suiteURL(m.URL, s.Name)
		if s.Release.AcquireByHash {
			urls = append(urls, at+"/"+path.Join(path.Dir(ix.path), "by-hash/SHA256", string(ix.file.SHA256)))
		}
		urls = append(urls, at+"/"+escapePath(ix.path))
	}
	return urls
}

func escapePath(p string) string { return (&url.URL{Path: "/" + p}).EscapedPath()[1:] }

// Suite returns the suite that a package of Packages came from, or nil.
func (x *Indexes) Suite(p *deb.Package) *Suite {
	for _, s := range x.Suites {
		if s.Source.Name == p.Archive && s.Name == p.Suite {
			return s
		}
	}
	return nil
}

// URLs returns where a package of Packages can be downloaded, best first.
func (x *Indexes) URLs(p *deb.Package) []string {
	s := x.Suite(p)
	if s == nil {
		return nil
	}
	return PoolURLs(s.Mirrors, p.Filename)
}

// PoolURLs returns where a file of an archive (the Filename of its stanza)
// lies on each mirror. It is all that a build from a lock needs: For, then
// PoolURLs. A file name that leads out of the archive gives none.
func PoolURLs(mirrors []Mirror, filename string) []string {
	clean := path.Clean("/" + filename)[1:]
	if clean == "" || strings.Contains("/"+filename+"/", "/../") {
		return nil
	}
	urls := make([]string, 0, len(mirrors))
	for _, m := range mirrors {
		urls = append(urls, m.URL+"/"+escapePath(clean))
	}
	return urls
}

// Blobs returns the digests of the blobs that these indexes stand on, for a
// collection to keep.
func (x *Indexes) Blobs() []store.Digest {
	var all []store.Digest
	for _, s := range x.Suites {
		all = append(all, s.Digest)
		for _, ix := range s.indexes {
			all = append(all, ix.file.SHA256)
			if d, _, ok := decodedCopy(x.store, ix); ok {
				all = append(all, d)
			}
		}
	}
	return all
}
