package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"cloudy/builder/archive"
	"cloudy/builder/fail"
	"cloudy/builder/lock"
	"cloudy/builder/plan"
	"cloudy/builder/recipe"
	"cloudy/builder/sandbox"
	"cloudy/builder/tools"
)

// defaultImage is what "cloudy build" builds when nobody says what.
const defaultImage = "node"

// engine opens the store and all that a build works with. The function
// returned closes it.
func (a *App) engine(ctx context.Context, sb *sandbox.Sandbox, out string) (*plan.Engine, func(), error) {
	mirrors, err := archive.HostMirrors(a.Flags.Mirrors)
	if err != nil {
		return nil, nil, fail.Mark(fail.User, err)
	}
	epoch, err := sourceDateEpoch()
	if err != nil {
		return nil, nil, err
	}
	shared, err := a.sharedCache()
	if err != nil {
		return nil, nil, err
	}
	st, err := a.Store()
	if err != nil {
		return nil, nil, err
	}
	e := &plan.Engine{Store: st, Mirrors: mirrors, Sandbox: sb, Offline: a.Flags.Offline, OutDir: out, Log: a.Log, Cache: shared, Epoch: epoch}
	e.Emulate = tools.Emulation(e, a.pinnedTools)
	return e, func() { st.Close() }, nil
}

// sourceDateEpoch is the variable of that name, in seconds since 1970
// (reproducible-builds.org/specs/source-date-epoch); nil where it is not set.
func sourceDateEpoch() (*int64, error) {
	s := os.Getenv("SOURCE_DATE_EPOCH")
	if s == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return nil, fail.Mark(fail.User, fmt.Errorf("SOURCE_DATE_EPOCH: %q is no number of seconds since 1970", s))
	}
	return &n, nil
}

// wanted reads the recipe, chooses the images and targets that args name, and
// opens the engine for them. The function returned closes it.
func (a *App) wanted(ctx context.Context, args []string, sb *sandbox.Sandbox, out string) ([]selection, *plan.Engine, func(), error) {
	m, err := a.Module(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	chosen, err := a.choose(m, args)
	if err != nil {
		return nil, nil, nil, err
	}
	e, done, err := a.engine(ctx, sb, out)
	return chosen, e, done, err
}

// build is the graph of one selection, of the packages that its lock pins.
func (a *App) build(ctx context.Context, e *plan.Engine, s selection) (*plan.Build, error) {
	l, err := a.pinned(ctx, e, s.image)
	if err != nil {
		return nil, err
	}
	return e.New(s.image, l, s.targets)
}

// selection is one image to build with the targets asked for.
type selection struct {
	image   *recipe.Image
	targets []recipe.Target
}

// choose turns IMAGE and IMAGE:TARGET into images with targets, for one
// architecture of the flags after the other. A name alone means all targets
// of the image that this program makes.
func (a *App) choose(m *recipe.Module, args []string) ([]selection, error) {
	if len(args) == 0 {
		args = []string{defaultImage}
		if names := m.Images(); len(names) == 1 {
			args = names
		}
	}
	var out []selection
	for _, arch := range a.Flags.Archs {
		list, err := a.chooseFor(m, args, arch)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

func (a *App) chooseFor(m *recipe.Module, args []string, arch string) ([]selection, error) {
	var out []selection
	at := map[string]int{}
	for _, arg := range args {
		name, target, one := strings.Cut(arg, ":")
		i, ok := at[name]
		if !ok {
			img, err := a.Image(m, name, arch)
			if err != nil {
				return nil, err
			}
			i = len(out)
			at[name] = i
			out = append(out, selection{image: img})
		}
		s := &out[i]
		if one {
			t, diags := s.image.Target(target)
			if err := a.Diagnose(m, diags); err != nil {
				return nil, err
			}
			s.add(t)
			continue
		}
		for _, t := range s.image.Targets {
			if contains(plan.CanMake(), t.Name) {
				s.add(t)
			}
		}
	}
	for _, s := range out {
		if len(s.targets) == 0 {
			return nil, fail.WithHint(fail.User, fmt.Errorf("image %q has no target to build", s.image.Name),
				"give it a block such as target \"vm\" {}")
		}
		if err := a.Diagnose(m, plan.Check(s.image, s.targets)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *selection) add(t recipe.Target) {
	for _, have := range s.targets {
		if have.Name == t.Name {
			return
		}
	}
	s.targets = append(s.targets, t)
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// lockPath is where the recipe's lock is: beside the recipe, or in this
// folder for the built-in one.
func (a *App) lockPath() string {
	dir := a.Flags.Recipe
	if dir == "" {
		dir = "."
	}
	if st, err := os.Stat(dir); err == nil && !st.IsDir() {
		dir = filepath.Dir(dir)
	}
	return filepath.Join(dir, lock.FileName)
}

// inputs are the parts of the recipe that a lock of the image keeps in mind.
func inputs(img *recipe.Image) (map[string]string, error) {
	d, err := img.Digest()
	return d.Parts, err
}

// pinned returns the lock of an image: the one on disk when there is a lock
// file, which must fit the recipe, else a fresh one.
func (a *App) pinned(ctx context.Context, e *plan.Engine, img *recipe.Image) (*lock.Image, error) {
	in, err := inputs(img)
	if err != nil {
		return nil, err
	}
	file, err := lock.Load(a.lockPath())
	if errors.Is(err, fs.ErrNotExist) {
		return e.Fresh(ctx, img, in)
	}
	if err != nil {
		return nil, err
	}
	key := lock.Key(img.Name, img.Arch)
	l := file.Images[key]
	if l == nil {
		return nil, fail.WithHint(fail.User, fmt.Errorf("%s has no entry for %s", a.lockPath(), key), fmt.Sprintf("'cloudy lock %s --arch %s' adds it", img.Name, img.Arch))
	}
	if drift := plan.Drift(l, in); len(drift) > 0 {
		return nil, fail.WithHint(fail.User,
			fmt.Errorf("the recipe has changed since %s was made: %s", a.lockPath(), strings.Join(drift, ", ")),
			"'cloudy lock' brings it up to date and keeps all versions that it can")
	}
	return l, nil
}

// scriptLog is the file that keeps all output of scripts. It is made when the
// first line comes: a build in which no script runs leaves the log of the one
// before alone. Where it cannot be made, the output is dropped.
type scriptLog struct {
	dir  string
	once sync.Once
	file *os.File
}

func (l *scriptLog) Write(p []byte) (int, error) {
	l.once.Do(func() {
		if os.MkdirAll(l.dir, 0o755) == nil {
			l.file, _ = os.Create(filepath.Join(l.dir, "build.log"))
		}
	})
	if l.file == nil {
		return len(p), nil
	}
	return l.file.Write(p)
}

// Path is where the log is; "" when there is none.
func (l *scriptLog) Path() string {
	if l.file == nil {
		return ""
	}
	return l.file.Name()
}

// Close closes the log.
func (l *scriptLog) Close() {
	if l.file != nil {
		l.file.Close()
	}
}
