package main

import (
	"context"
	"errors"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// benchTargets are the targets of the image "targets", each a row, and all of
// them at once. The disk comes first: all the others are compared with it.
func benchTargets() []string {
	return []string{"vm", "tar", "lxc", "incus", "proxmox", "nspawn", "oci"}
}

// targetRecipe is the node with all that a container can be beside its disk.
const targetRecipe = `
image "targets" {
  from = image.node
  target "tar" { compress = "zstd" }
  target "lxc" {}
  target "incus" { formats = ["unified", "split", "simplestreams"] }
  target "proxmox" {}
  target "nspawn" {}
  target "oci" {}
}

image "plain" {
  from = image.node
  target "tar" { compress = "none" }
}
`

// plainRow is what reading the root and writing it out costs when nothing packs
// it: what a target takes more of the processors is what its compressor needs.
const plainRow = "target tar, unpacked"

// targetRows are the rows of single targets and of all.
func targetRows() []string {
	var out []string
	for _, t := range benchTargets() {
		out = append(out, "target "+t)
	}
	return append(out, plainRow, "all targets")
}

// targets measures what each target costs when the root is built, and what
// all of them cost together. Reading the root is part of each.
func (b *bench) targets(ctx context.Context, n int) (err error) {
	defer func() {
		b.clear("store", "out")
		err = errors.Join(err, b.writeRecipe())
	}()
	if err := os.WriteFile(filepath.Join(b.work, "recipe", "targets.hcl"), []byte(targetRecipe), 0o644); err != nil {
		return err
	}
	if _, err := b.measure(ctx, "root", "cloudy", n, b.cold("targets:tar")); err != nil {
		return err
	}
	for _, t := range benchTargets() {
		if err := b.take(ctx, "target "+t, "cloudy", n, func() command { b.clear("out"); return b.warm("targets:" + t) }); err != nil {
			return err
		}
	}
	if err := b.take(ctx, plainRow, "cloudy", n, func() command { b.clear("out"); return b.warm("plain:tar") }); err != nil {
		return err
	}
	return b.take(ctx, "all targets", "cloudy", n, func() command { b.clear("out"); return b.warm("targets") })
}

// allowed is what all targets at once may take, in seconds: 1.6 times the disk
// alone, and what the compressors of the others need on all processors.
func (b *bench) allowed() (float64, bool) {
	value := func(row string, of func(result) float64) float64 {
		v, ok := b.median(row, "cloudy", of)
		if !ok {
			return math.NaN()
		}
		return v
	}
	cpu := func(r result) float64 { return r.CPU }
	sum := 1.6 * value("target vm", func(r result) float64 { return r.Wall })
	for _, t := range benchTargets()[1:] {
		sum += (value("target "+t, cpu) - value(plainRow, cpu)) / float64(runtime.NumCPU())
	}
	return sum, !math.IsNaN(sum)
}

// shared measures a build that fills a registry's cache, on a store that has
// everything, and one of another machine that finds all of it there.
func (b *bench) shared(ctx context.Context, n int) (err error) {
	dir := filepath.Join(b.work, "registry")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer b.clear("registry", "store", "out")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{
		Handler:           registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(dir)), registry.Logger(log.New(io.Discard, "", 0))),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() { _ = s.Serve(l) }()
	defer func() { err = errors.Join(err, s.Close()) }()
	repo := l.Addr().String() + "/bench/cache"
	with := func(c command, flag string) command {
		c.argv = append(slices.Clip(c.argv), flag, repo)
		return c
	}
	if _, err := b.measure(ctx, "root", "cloudy", n, b.cold("bench:vm")); err != nil {
		return err
	}
	if err := b.take(ctx, "share", "cloudy", n, func() command { b.clear("out"); return with(b.warm("bench:vm"), "--cache-to") }); err != nil {
		return err
	}
	return b.take(ctx, "cache", "cloudy", n, func() command { return with(b.cold("bench:vm"), "--cache-from") })
}
