package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cloudy/builder/progress"
	"cloudy/builder/rootfs"
	"cloudy/builder/sandbox"
)

type sink struct{}

func (sink) Event(e progress.Event) {
	if e.Kind == progress.Done || e.Kind == progress.Failed || e.Kind == progress.Start {
		fmt.Println(e.Kind, e.Step, e.Text, e.Elapsed.Round(time.Millisecond))
	}
}

func main() {
	sandbox.Init()
	ctx := progress.With(context.Background(), sink{})
	sb, err := sandbox.Enter(ctx, sandbox.EnterOptions{})
	if err != nil {
		panic(err)
	}
	debs, orderFile, out := os.Args[1], os.Args[2], os.Args[3]
	log, _ := os.Create(out + ".log")
	f, _ := os.Open(orderFile)
	var base, rest []rootfs.Package
	inBase := true
	for sc := bufio.NewScanner(f); sc.Scan(); {
		name, _, _ := strings.Cut(strings.TrimSpace(sc.Text()), ":")
		if name == "--" {
			inBase = false
			continue
		}
		m, _ := filepath.Glob(debs + "/" + name + "_*.deb")
		if len(m) != 1 {
			panic(name)
		}
		p := rootfs.Package{Name: name, Architecture: "amd64", File: func(context.Context) (string, error) { return m[0], nil }}
		if inBase {
			base = append(base, p)
		} else {
			rest = append(rest, p)
		}
	}
	os.MkdirAll(out, 0o755)
	start := time.Now()
	err = rootfs.Install(ctx, rootfs.Request{
		Root: out, Stage: out + ".stage", Architecture: "amd64", Base: base, Rest: rest, Sandbox: sb,
		Epoch: time.Unix(1790000000, 0), Log: func(l string) { fmt.Fprintln(log, time.Since(start).Milliseconds(), l) },
	})
	fmt.Println(err, time.Since(start))
}
