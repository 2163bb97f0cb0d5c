package flash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"cloudy/builder/fail"
	"cloudy/builder/fetch"
	"cloudy/builder/report"
	"cloudy/builder/sign"
	"cloudy/builder/store"
)

// Remote is an image on a web server. Its hash must be known: it makes a
// download resumable and tells a damaged one before anything is written.
type Remote struct {
	URL    string
	SHA256 string        // hexadecimal; empty looks for a list of sums beside the image
	Keys   []sign.Public // when given, one of them must have signed the list
}

// IsURL says whether a source is to be downloaded.
func IsURL(source string) bool {
	return strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://")
}

// Download brings the image into the store, going on where an earlier
// download ended, and its block map where the list of sums has one. The paths
// are those of the store's files; mapPath is "none" without a map.
func (r Remote) Download(ctx context.Context, st *store.Store, cfg fetch.Config) (image, mapPath string, err error) {
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" || path.Base(u.Path) == "/" || path.Base(u.Path) == "." {
		return "", "", fail.Mark(fail.User, fmt.Errorf("%q is not the URL of an image", r.URL))
	}
	c := fetch.New(st, cfg)
	defer c.CloseIdle()
	name := path.Base(u.Path)
	item := func(name, sum string) fetch.Item {
		at := *u
		at.Path, at.RawPath = path.Join(path.Dir(u.Path), name), ""
		return fetch.Item{Name: name, URLs: []string{at.String()}, SHA256: store.Digest(sum)}
	}
	var sums map[string]string
	sum := strings.ToLower(r.SHA256)
	if sum == "" {
		if sums, err = r.sums(ctx, c, u); err != nil {
			return "", "", err
		}
		if sum = sums[name]; sum == "" {
			return "", "", fail.WithHint(fail.User, fmt.Errorf("the list of sums beside %s does not have it", r.URL), "--sha256 gives its hash")
		}
	} else if !store.Digest(sum).Valid() {
		return "", "", fail.Mark(fail.User, fmt.Errorf("--sha256 %q is not 64 hexadecimal digits", r.SHA256))
	}
	items := []fetch.Item{item(name, sum)}
	for _, m := range mapNames(name) {
		if sums[m] != "" {
			items = append(items, item(m, sums[m]))
			break
		}
	}
	if err := c.Fetch(ctx, items, nil); err != nil {
		return "", "", err
	}
	mapPath = "none"
	for i, it := range items {
		p, ok := st.Blob(it.SHA256)
		if !ok {
			return "", "", fmt.Errorf("%s is not in the store", it.Name)
		}
		if i == 0 {
			image = p
		} else {
			mapPath = p
		}
	}
	return image, mapPath, nil
}

// mapNames are the names that the block map of an image may have.
func mapNames(image string) []string {
	names := []string{image + ".bmap"}
	for _, suffix := range []string{".zst", ".xz", ".gz", ".bz2", ".lz4"} {
		if base, ok := strings.CutSuffix(image, suffix); ok {
			names = append(names, base+".bmap", strings.TrimSuffix(base, ".raw")+".bmap")
		}
	}
	return append(names, strings.TrimSuffix(image, ".raw")+".bmap")
}

// sums reads the list of sums in the image's folder: SHA256SUMS, or one for
// the image such as node-amd64.SHA256SUMS.
func (r Remote) sums(ctx context.Context, c *fetch.Client, u *url.URL) (map[string]string, error) {
	get := func(name string) ([]byte, error) {
		at := *u
		at.Path, at.RawPath = path.Join(path.Dir(u.Path), name), ""
		resp, err := c.Get(ctx, fetch.Request{URL: at.String(), MaxSize: 1 << 20})
		if err != nil {
			return nil, err
		}
		return resp.Data, nil
	}
	names := []string{sign.SumsSuffix}
	base := path.Base(u.Path)
	for {
		i := strings.LastIndexAny(base, "-._")
		if i <= 0 {
			break
		}
		base = base[:i]
		names = append(names, base+"."+sign.SumsSuffix)
	}
	for _, name := range names {
		list, err := get(name)
		if errors.Is(err, fetch.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if len(r.Keys) > 0 {
			sig, err := get(name + sign.Suffix)
			if err == nil {
				_, err = sign.Verify(bytes.NewReader(list), sig, r.Keys...)
			}
			if err != nil {
				return nil, fail.Mark(fail.User, fmt.Errorf("signature of %s: %w", name, err))
			}
		}
		files, err := report.ParseSums(bytes.NewReader(list))
		if err != nil {
			return nil, fail.Mark(fail.Network, fmt.Errorf("%s: %w", name, err))
		}
		out := map[string]string{}
		for _, f := range files {
			out[f.Path] = f.SHA256
		}
		return out, nil
	}
	return nil, fail.WithHint(fail.User, fmt.Errorf("there is no list of sums beside %s", r.URL), "--sha256 gives the image's hash, with which it is checked")
}
