package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Manifest lists the entries of a tree, one line each, sorted by path:
// type and permissions as ls(1) shows them, size (files), SHA-256 (files,
// with content) or target (links), path. Paths and targets are quoted as Go
// strings. Without content it costs one lstat an entry and still catches
// what a power cut does (files cut short); with content it reads everything.
func Manifest(ctx context.Context, dir string, content bool) ([]byte, error) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "cloudy-manifest 1 content=%t\n", content)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		detail := "-"
		switch {
		case info.Mode().IsRegular() && content:
			if detail, err = hashFile(path); err != nil {
				return err
			}
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			detail = strconv.Quote(target)
		}
		size := int64(0)
		if info.Mode().IsRegular() {
			size = info.Size()
		}
		fmt.Fprintf(&out, "%s %d %s %s\n", info.Mode(), size, detail, strconv.Quote(rel))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return out.Bytes(), nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// verifyLayer compares a layer with its manifest. It returns an error that
// wraps ErrDigest and names the first difference, or ErrNotExist when the
// layer has no manifest.
func (s *Store) verifyLayer(ctx context.Context, l *Layer) error {
	want, err := os.ReadFile(filepath.Join(l.dir, "manifest"))
	if err != nil {
		return fmt.Errorf("layer %s has no manifest: %w", l.Key, ErrNotExist)
	}
	head, _, _ := strings.Cut(string(want), "\n")
	got, err := Manifest(ctx, l.Dir(), strings.HasSuffix(head, "content=true"))
	if err != nil {
		return err
	}
	if bytes.Equal(want, got) {
		return nil
	}
	return fmt.Errorf("layer %s is damaged: %s: %w", l.Key, firstDifference(want, got), ErrDigest)
}

func firstDifference(want, got []byte) string {
	a, b := bufio.NewScanner(bytes.NewReader(want)), bufio.NewScanner(bytes.NewReader(got))
	for {
		more, there := a.Scan(), b.Scan()
		switch {
		case more && !there:
			return "missing: " + a.Text()
		case there && !more:
			return "added: " + b.Text()
		case !more:
			return "no readable difference"
		case a.Text() != b.Text():
			return fmt.Sprintf("want %s, is %s", a.Text(), b.Text())
		}
	}
}
