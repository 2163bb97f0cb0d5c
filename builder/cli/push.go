package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"cloudy/builder/fail"
	"cloudy/builder/progress"
	"cloudy/builder/registry"
)

// insecureFlag declares --insecure.
func insecureFlag(c *cobra.Command, to *bool) {
	c.Flags().BoolVar(to, "insecure", false, "allow plain HTTP and any certificate; registries on this machine may speak HTTP without it")
}

func (a *App) pushCommand() *cobra.Command {
	var r registry.PushRequest
	var insecure bool
	var annotations []string
	c := &cobra.Command{
		Use:     "push FILE... [REGISTRY/REPOSITORY[:TAG]]",
		GroupID: groupImage,
		Short:   "Push images to a registry",
		Long: `Push images to a registry. The tar file of the target "oci" becomes a container
image; several of them, one for each architecture, become an index under one tag.
Bills of materials and provenance that the build's checksums name are attached to
it. Without a reference the image goes where the recipe says.

Any other files become one OCI artefact, as ORAS has them: disks, templates, ISO
images. A file of checksums stands for all that it names, with its signature.

Credentials are those of docker and podman ("docker login", "podman login").
What the registry has already is not sent again.`,
		Example: `  cloudy push out/node-amd64-oci.tar registry.example.org/cloudy/node:1.0
  cloudy push out/node-amd64-oci.tar out/node-arm64-oci.tar example.org/cloudy/node:1.0
  cloudy push out/node-amd64.qcow2 registry.example.org/cloudy/node-disk:1.0
  cloudy push out/node-amd64.SHA256SUMS registry.example.org/cloudy/node-all:1.0`,
		Args: between(1, -1),
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if r.Annotations, err = pairs("annotation", annotations); err != nil {
				return err
			}
			r.Files = args
			// The last one is the reference, unless it is a file.
			if last := args[len(args)-1]; !isFile(last) && strings.Contains(last, "/") {
				r.Files, r.Ref = args[:len(args)-1], last
			}
			if len(r.Files) == 0 {
				return fail.WithHint(fail.User, fmt.Errorf("no file to push to %s", r.Ref), "'cloudy build IMAGE:oci' makes one")
			}
			cl := registry.New(registry.Options{Insecure: insecure})
			ctx, end := a.Progress(c.Context())
			list, err := cl.Push(ctx, r)
			end(err, "")
			if err != nil {
				return err
			}
			a.pushed(list)
			return nil
		},
	}
	c.Flags().StringArrayVar(&annotations, "annotation", nil, "`key=value` to annotate an artefact or an index with; may be given several times")
	c.Flags().StringArrayVar(&r.Attach, "attach", nil, "`file` to attach to the image, such as another bill of materials; may be given several times")
	c.Flags().BoolVar(&r.Bare, "bare", false, "attach nothing but what --attach names")
	insecureFlag(c, &insecure)
	return c
}

// pushed tells where things are: what was asked for on stdout, the rest on stderr.
func (a *App) pushed(list []registry.Pushed) {
	for i, p := range list {
		out := a.Err
		if i == 0 {
			out = a.Out
		}
		ref := p.Ref
		if !strings.Contains(ref, "@") {
			ref += "@" + p.Digest
		}
		printf(out, "%s\n", ref)
		printf(a.Err, "  %s\n", p.What)
	}
}

func isFile(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// pairs reads key=value flags.
func pairs(flag string, list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, s := range list {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return nil, fail.Mark(fail.User, fmt.Errorf("--%s=%s: want key=value", flag, s))
		}
		out[k] = v
	}
	return out, nil
}

func (a *App) pullCommand() *cobra.Command {
	var r registry.PullRequest
	var insecure bool
	c := &cobra.Command{
		Use:     "pull REGISTRY/REPOSITORY[:TAG|@DIGEST]",
		GroupID: groupImage,
		Short:   "Pull images from a registry",
		Long: `Pull images from a registry. The files of an artefact get their own names, a
container image becomes a tar file that "podman load", "docker load" and
"cloudy push" take; of several architectures --arch chooses. Every byte is verified
by its digest. What was interrupted goes on where it was.`,
		Example: `  cloudy pull registry.example.org/cloudy/node-disk:1.0
  cloudy pull registry.example.org/cloudy/node-all:1.0 --file node-amd64.qcow2
  cloudy pull registry.example.org/cloudy/node:1.0 --arch arm64 --out images`,
		Args: between(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			r.Ref, r.Arch = args[0], a.Flags.Arch
			cl := registry.New(registry.Options{Insecure: insecure})
			ctx, end := a.Progress(c.Context())
			list, err := cl.Pull(ctx, r)
			end(err, "")
			if err != nil {
				return err
			}
			for _, f := range list {
				path := filepath.ToSlash(f.Path)
				printf(a.Out, "%s\n", path)
				printf(a.Err, "  %s, %s\n", progress.FormatBytes(f.Size), f.Digest)
				if f.Image {
					printf(a.Err, "  podman load -i %[1]s; docker load -i %[1]s\n", path)
				}
			}
			return nil
		},
	}
	c.Flags().StringVarP(&r.Dir, "out", "o", ".", "`folder` for the files")
	c.Flags().StringArrayVar(&r.Only, "file", nil, "pull this `file` of an artefact alone; may be given several times")
	insecureFlag(c, &insecure)
	return c
}

func (a *App) copyCommand() *cobra.Command {
	var insecure, bare bool
	c := &cobra.Command{
		Use:     "copy FROM... TO",
		GroupID: groupImage,
		Short:   "Copy images between registries, or join architectures under one tag",
		Long: `Copy what FROM names to TO, in the same or another registry, with all that is
attached to it. Several FROM become one index: so the images that different machines
have built, each for its own architecture, come under one tag.`,
		Example: `  cloudy copy registry.example.org/cloudy/node:1.0 mirror.example.net/cloudy/node:1.0
  cloudy copy example.org/node:1-amd64 example.org/node:1-arm64 example.org/node:1`,
		Args: between(2, -1),
		RunE: func(c *cobra.Command, args []string) error {
			for _, arg := range args {
				if isFile(arg) && !strings.Contains(arg, ":") {
					return fail.WithHint(fail.User, errors.New("copy takes references, and "+arg+" is a file"), "'cloudy push' takes files")
				}
			}
			cl := registry.New(registry.Options{Insecure: insecure})
			ctx, end := a.Progress(c.Context())
			list, err := cl.Copy(ctx, args[:len(args)-1], args[len(args)-1], !bare)
			end(err, "")
			if err != nil {
				return err
			}
			a.pushed(list)
			return nil
		},
	}
	c.Flags().BoolVar(&bare, "bare", false, "without what is attached")
	insecureFlag(c, &insecure)
	return c
}
