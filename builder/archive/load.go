package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"

	"cloudy/builder/deb"
	"cloudy/builder/fail"
	"cloudy/builder/fetch"
	"cloudy/builder/progress"
	"cloudy/builder/store"
	"cloudy/builder/xz"
)

// maxIndex bounds a decoded index whose size the Release file does not say.
const maxIndex = 1 << 30

// decodedFormat names the form of the decoded copies in the store; it
// changes when strip or the compression does.
const decodedFormat = "packages s2 1 "

// Packages loads all packages of all suites, in the order of the suites,
// components, and stanzas, with Archive, Suite and Component filled. What a
// source's Only patterns do not match is left out, and an arch-all package
// that several architectures' indexes hold comes once.
//
// The first load of an index decodes it and keeps a copy without the
// descriptions, which loads some ten times faster.
func (x *Indexes) Packages(ctx context.Context) ([]*deb.Package, error) {
	type job struct {
		suite *Suite
		index index
		list  []*deb.Package
		err   error
	}
	var jobs []*job
	for _, s := range x.Suites {
		for _, ix := range s.indexes {
			jobs = append(jobs, &job{suite: s, index: ix})
		}
	}
	// Each job holds a whole index in memory: two are enough to hide one's waiting.
	slots := make(chan struct{}, 2)
	var wg sync.WaitGroup
	for _, j := range jobs {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if j.err = context.Cause(ctx); j.err == nil {
				j.list, j.err = x.load(ctx, j.suite, j.index)
			}
		})
	}
	wg.Wait()
	var all []*deb.Package
	total := 0
	for _, j := range jobs {
		if j.err != nil {
			return nil, fmt.Errorf("archive %s, suite %s, %s: %w", j.suite.Source.Name, j.suite.Name, j.index.path, j.err)
		}
		total += len(j.list)
	}
	all = make([]*deb.Package, 0, total)
	type id struct {
		suite         *Suite
		name, version string
	}
	seen := map[id]bool{}
	for _, j := range jobs {
		several := len(j.suite.indexes) > 1 && len(j.suite.Source.Architectures) > 1
		for _, p := range j.list {
			if several && p.Architecture == "all" {
				k := id{j.suite, p.Name, p.Version}
				if seen[k] {
					continue
				}
				seen[k] = true
			}
			all = append(all, p)
		}
	}
	return all, nil
}

// load reads one index.
func (x *Indexes) load(ctx context.Context, s *Suite, ix index) ([]*deb.Package, error) {
	data, err := readDecoded(x.store, ix)
	if err != nil {
		data, err = decode(x.store, ix)
		if errors.Is(err, store.ErrDigest) || errors.Is(err, store.ErrNotExist) {
			// Damaged in the store, and dropped by now: once more from the mirror.
			if err = fetch.New(x.store, x.fetch).Fetch(ctx, []fetch.Item{s.item(ix)}, nil); err == nil {
				data, err = decode(x.store, ix)
			}
		}
		if err != nil {
			return nil, err
		}
		data = strip(data)
		// The copy is made while the index is read.
		kept := make(chan error, 1)
		go func() { kept <- writeDecoded(ctx, x.store, ix, data) }()
		defer func() {
			if err := <-kept; err != nil {
				progress.Warn(ctx, fmt.Sprintf("cannot keep a decoded package index: %v", err))
			}
		}()
	}
	var list []*deb.Package
	err = deb.ParseIndex(data, func(p *deb.Package) error {
		ok, err := wanted(s.Source.Only, p.Name)
		if ok {
			p.Archive, p.Suite, p.Component = s.Source.Name, s.Name, ix.component
			list = append(list, p)
		}
		return err
	})
	if err != nil {
		return nil, fail.Mark(fail.Network, err)
	}
	return list, nil
}

func wanted(only []string, name string) (bool, error) {
	if len(only) == 0 {
		return true, nil
	}
	for _, pattern := range only {
		ok, err := path.Match(pattern, name)
		if err != nil {
			return false, fmt.Errorf("pattern %q: %w", pattern, err)
		}
		if ok {
			return true, nil
		}
	}
	return false, nil
}

// decode reads an index as the mirror has it.
func decode(st *store.Store, ix index) ([]byte, error) {
	r, err := st.OpenBlob(ix.file.SHA256)
	if err != nil {
		return nil, err
	}
	packed, err := io.ReadAll(r)
	// Close compares the hash, and a damaged blob explains any other error.
	if cerr := r.Close(); cerr != nil {
		err = cerr
	}
	if err != nil {
		return nil, fail.Mark(fail.Network, err)
	}
	limit := ix.plainSize
	if limit == 0 {
		limit = maxIndex
	}
	data, err := unpack(packed, path.Ext(ix.path), limit)
	if n := int64(len(data)); err == nil && (n > limit || (ix.plainSize > 0 && n != ix.plainSize)) {
		err = fmt.Errorf("decodes to %d bytes, want %d: %w", n, ix.plainSize, ErrHash)
	}
	if err != nil {
		return nil, fail.Mark(fail.Network, err)
	}
	return data, nil
}

// unpack decodes an index by the suffix of its name. What is larger than
// limit, in bytes, comes out larger too or is an error.
func unpack(packed []byte, suffix string, limit int64) ([]byte, error) {
	switch suffix {
	case ".xz":
		// Debian's large indexes have blocks of 24 MiB.
		data, err := xz.Decode(packed, limit)
		if errors.Is(err, xz.ErrLimit) {
			err = fmt.Errorf("%w: %w", ErrHash, err)
		}
		return data, err
	case ".gz":
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(io.LimitReader(r, limit+1))
	}
	return packed, nil
}

// strip removes, in place, the fields that deb.Package has no use for: they
// are half of an index.
func strip(data []byte) []byte {
	out, skip := 0, false
	for pos := 0; pos < len(data); {
		end := bytes.IndexByte(data[pos:], '\n') + 1
		if end == 0 {
			end = len(data) - pos
		}
		line := data[pos : pos+end]
		pos += end
		if line[0] != ' ' && line[0] != '\t' {
			skip = useless(line)
		}
		if !skip {
			out += copy(data[out:], line)
		}
	}
	return data[:out]
}

// useless tells whether a line begins a field that nobody reads.
func useless(line []byte) bool {
	switch line[0] {
	case 'D':
		return bytes.HasPrefix(line, []byte("Description:")) || bytes.HasPrefix(line, []byte("Description-md5:"))
	case 'M':
		return bytes.HasPrefix(line, []byte("MD5sum:"))
	case 'T':
		return bytes.HasPrefix(line, []byte("Tag:"))
	case 'B':
		return bytes.HasPrefix(line, []byte("Built-Using:"))
	case 'S':
		return bytes.HasPrefix(line, []byte("Static-Built-Using:")) || bytes.HasPrefix(line, []byte("SHA1:"))
	}
	return false
}

// decodedCopy returns the blob of an index's decoded copy and how many bytes
// it decodes to.
func decodedCopy(st *store.Store, ix index) (d store.Digest, size int, ok bool) {
	note, err := st.Ref(decodedFormat + string(ix.file.SHA256))
	if err != nil {
		return "", 0, false
	}
	n, err := fmt.Sscanf(string(note), "%s %d", &d, &size)
	return d, size, err == nil && n == 2 && d.Valid() && size >= 0 && size <= maxIndex
}

// cached tells whether an index can be loaded without the network.
func cached(st *store.Store, ix index) bool {
	_, ok := st.Blob(ix.file.SHA256)
	return ok
}

var errNoCopy = errors.New("no decoded copy")

// readDecoded reads the decoded copy. It is not hashed again: s2 has a
// checksum of each block, and that is enough against a damaged disk.
func readDecoded(st *store.Store, ix index) ([]byte, error) {
	d, size, ok := decodedCopy(st, ix)
	if !ok {
		return nil, errNoCopy
	}
	name, ok := st.Blob(d)
	if !ok {
		return nil, errNoCopy
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, size)
	if _, err := io.ReadFull(s2.NewReader(f), data); err != nil {
		st.DropBlob(d)
		return nil, err
	}
	return data, nil
}

func writeDecoded(ctx context.Context, st *store.Store, ix index, data []byte) error {
	var buf bytes.Buffer
	w := s2.NewWriter(&buf, s2.WriterConcurrency(1))
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	d, err := st.PutBytes(ctx, buf.Bytes())
	if err != nil {
		return err
	}
	return st.PutRef(decodedFormat+string(ix.file.SHA256), fmt.Appendf(nil, "%s %d", d, len(data)))
}
