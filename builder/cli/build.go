package cli

import (
	"context"

	"github.com/spf13/cobra"

	"cloudy/builder/lock"
	"cloudy/builder/plan"
	"cloudy/builder/progress"
	"cloudy/builder/sandbox"
	"cloudy/targets"
)

func (a *App) buildCommand() *cobra.Command {
	var out, key string
	c := &cobra.Command{
		Use:     "build [IMAGE[:TARGET]...]",
		GroupID: groupBuild,
		Short:   "Build images",
		Long: `Build images out of the recipe. Without an argument, build the image "node" (or the
only image there is); IMAGE builds all its targets, IMAGE:TARGET one of them. All
targets of an image come from one root filesystem, which is built once.

With a lock file beside the recipe the build uses the packages that it pins, and
says so when the recipe has changed since. Without one it resolves anew.

--arch names one architecture or several, which are built one after the other: what
comes out has its architecture in its name. Programs of a foreign one are emulated.

What is in the store or in the output folder already is not made again. Machines
share layers through a registry: --cache-to puts them there, --cache-from takes
them, and a cache that is missing or broken costs no more than a warning.`,
		Example:           "  cloudy build\n  cloudy build node:vm --out /srv/images\n  cloudy build node --offline\n  cloudy build minimal:oci --arch amd64,arm64\n  cloudy build --cache-from registry.example.org/cloudy/cache --cache-key team.key.pub",
		Args:              cobra.ArbitraryArgs,
		Annotations:       map[string]string{severalArchs: "yes"},
		ValidArgsFunction: a.CompleteTargets,
		RunE: func(c *cobra.Command, args []string) error {
			sb, err := sandbox.Enter(c.Context(), sandbox.EnterOptions{})
			if err != nil {
				return err
			}
			chosen, e, done, err := a.wanted(c.Context(), args, sb, out)
			if err != nil {
				return err
			}
			defer done()
			// Now, and not when a build of minutes has ended at a prompt.
			if key != "" {
				k, err := a.secretKey(key)
				if err != nil {
					return err
				}
				e.Signer = &k
			}
			log := &scriptLog{dir: out}
			defer log.Close()
			e.Scripts = log
			ctx, end := a.Progress(c.Context())
			made, err := a.make(ctx, e, chosen)
			end(err, log.Path())
			if err != nil {
				return err
			}
			a.printMade(made)
			return nil
		},
	}
	a.shared.add(c)
	c.Flags().StringVar(&key, "sign", "", "sign the checksums with this secret `key` (see cloudy key)")
	c.Flags().StringVarP(&out, "out", "o", "out", "`folder` for the images")
	return c
}

// make builds images and returns the artefacts of all of them.
func (a *App) make(ctx context.Context, e *plan.Engine, chosen []selection) ([]targets.Artefact, error) {
	var made []targets.Artefact
	for _, s := range chosen {
		ctx := ctx
		if len(chosen) > 1 {
			ctx = progress.Of(ctx, lock.Key(s.image.Name, s.image.Arch))
		}
		b, err := a.build(ctx, e, s)
		if err != nil {
			return nil, err
		}
		list, err := b.Run(ctx)
		if err != nil {
			return nil, err
		}
		made = append(made, list...)
	}
	return made, nil
}
