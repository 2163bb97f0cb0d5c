package rootfs

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"cloudy/builder/progress"
	"cloudy/builder/sandbox"
)

// Package is one package to install.
type Package struct {
	Name         string
	Version      string
	Architecture string
	Auto         bool // came in as a dependency: apt's Auto-Installed mark

	// File waits until the .deb is complete and returns its path.
	File func(ctx context.Context) (string, error)
}

// Debconf is one preseeded answer (debconf-set-selections(1)).
type Debconf struct {
	Package, Question, Type, Value string
}

// Request is what Install makes of a root.
type Request struct {
	Root         string // folder of the root; empty for a first install
	Stage        string // folder for work in progress, on the same filesystem as Root; removed afterwards
	Architecture string // native architecture of the root

	// Base is what must be configured before anything else: Essential
	// packages and all they need, in configure order. Empty when Root has
	// them already.
	Base []Package
	// Rest is everything else in configure order.
	Rest []Package

	Sandbox *sandbox.Sandbox // where scripts run
	// Interpreters run the scripts' programs where this machine does not.
	Interpreters []sandbox.Interpreter
	Debconf      []Debconf
	// Seeds are files that must be there before packages are configured,
	// path to content; one whose folder no package brought is left out.
	Seeds   map[string]string
	Exclude func(path string) bool // path-exclude (dpkg(1)); nil keeps everything
	Epoch   time.Time              // SOURCE_DATE_EPOCH of scripts
	Timeout time.Duration          // of one dpkg run or script; 0 is no limit
	Log     func(line string)      // every line that a script prints; nil for none
}

// Install unpacks and configures the packages of req into its root. After an
// error the root is of no use.
func Install(ctx context.Context, req Request) (err error) {
	in, err := newInstaller(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.close()) }()
	g, ctx := errgroup.WithContext(ctx)
	in.stageAll(ctx, g)
	g.Go(func() error { return in.install(ctx) })
	return g.Wait()
}

// installer is the state of one Install.
type installer struct {
	Request
	stage  *stager
	placer *placer
	db     *database
	order  []*job // Base, then Rest
	byName map[string]*job
	// Rest in two parts: what has a part in the initramfs with all that it
	// needs, and the others. Set when known is closed.
	early, late []*job
	known       chan struct{}

	runner  *scriptRunner
	pace    *pace
	held    *held
	counted map[string]bool // packages that progress has seen installed, by dpkg's name
}

// job is one package on its way.
type job struct {
	Package
	meta   metadata // of Rest: there when Install begins with Rest
	staged *staged
	ready  chan struct{} // closed when staged is set
	done   bool          // configured
}

func newInstaller(req Request) (*installer, error) {
	stage, err := newStager(req.Stage)
	if err != nil {
		return nil, hostErr(err)
	}
	db, err := openDatabase(req.Root, req.Architecture)
	if err != nil {
		stage.close()
		return nil, hostErr(err)
	}
	d, err := openDirs(req.Root)
	if err != nil {
		db.close()
		stage.close()
		return nil, err
	}
	in := &installer{Request: req, stage: stage, db: db, byName: map[string]*job{}, known: make(chan struct{}), counted: map[string]bool{}, pace: newPace(runtime.GOMAXPROCS(0))}
	in.placer = &placer{root: req.Root, dirs: d, stage: stage, db: db, exclude: req.Exclude, owner: map[string]*installed{}}
	for _, p := range slices.Concat(req.Base, req.Rest) {
		j := &job{Package: p, ready: make(chan struct{})}
		in.order = append(in.order, j)
		in.byName[p.Name], in.byName[p.Name+":"+p.Architecture] = j, j
	}
	if err := db.addArchitectures(in.order); err != nil {
		d.close()
		stage.close()
		return nil, errors.Join(err, db.close())
	}
	in.runner = &scriptRunner{sandbox: req.Sandbox, interpreters: req.Interpreters, root: req.Root, epoch: req.Epoch, timeout: req.Timeout, log: req.Log}
	if in.held, err = newHeld(in); err != nil {
		return nil, errors.Join(hostErr(err), in.close())
	}
	return in, nil
}

func (in *installer) close() error {
	in.placer.dirs.close()
	in.stage.close()
	return errors.Join(in.runner.close(), in.held.close(), in.db.close())
}

func (in *installer) install(ctx context.Context) error {
	if len(in.Base) > 0 {
		if err := in.installBase(ctx); err != nil {
			return err
		}
	} else if err := in.adoptOwners(); err != nil {
		return err
	}
	if err := in.preseed(ctx); err != nil {
		return err
	}
	return in.installRest(ctx)
}

// installBase brings up the minimal system. Nothing can run until all of it
// is there, so files come first and preinsts after them, as in every
// bootstrap; conffiles are placed under their own names.
func (in *installer) installBase(ctx context.Context) error {
	base := in.order[:len(in.Base)]
	var placed []*installed
	for _, j := range baseFilesFirst(base) {
		if err := in.wait(ctx, j); err != nil {
			return err
		}
		if j.Name == "base-files" {
			if err := in.placer.usrMergeLinks(j.staged, in.Architecture); err != nil {
				return err
			}
		}
		inst, err := in.placer.place(j.staged, asFinal)
		if err != nil {
			return err
		}
		placed = append(placed, inst)
	}
	if err := in.register(placed); err != nil {
		return err
	}
	step := progress.Begin(ctx, "configure base", int64(len(base)), progress.Packages)
	defer in.pace.scriptsRun()()
	for _, j := range base {
		if err := in.preinst(ctx, j); err != nil {
			return step.End(err)
		}
	}
	return step.End(in.configure(ctx, step, base))
}

// baseFilesFirst moves base-files to the front: it ships the links of the
// merged /usr, which must be there before any other package's files.
func baseFilesFirst(jobs []*job) []*job {
	out := slices.Clone(jobs)
	slices.SortStableFunc(out, func(a, b *job) int {
		return btoi(b.Name == "base-files") - btoi(a.Name == "base-files")
	})
	return out
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// installRest brings in the other packages: each one's preinst before its
// files, and before that whatever its Pre-Depends ask for, configured.
func (in *installer) installRest(ctx context.Context) error {
	rest := in.order[len(in.Base):]
	if err := in.waitKnown(ctx); err != nil {
		return err
	}
	step := progress.Begin(ctx, "configure", int64(len(rest)), progress.Packages)
	if err := in.configureRest(ctx, step); err != nil {
		return step.End(err)
	}
	return step.End(in.writeAutoMarks())
}

func (in *installer) configureRest(ctx context.Context, step *progress.Step) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	in.held.begin(ctx)
	defer func() {
		if err != nil { // nothing may go on in a root that is given up
			cancel()
			err = errors.Join(err, ignoreCancel(in.held.jobs.Wait()))
		}
		cancel()
	}()
	if err := in.part(ctx, step, in.early); err != nil {
		return err
	}
	if err := in.held.initramfsReady(); err != nil {
		return err
	}
	if err := in.part(ctx, step, in.late); err != nil {
		return err
	}
	if err := in.triggers(ctx, step); err != nil {
		return err
	}
	return in.held.finish()
}

// part places and configures some of the packages, which need nothing of
// those that come later.
func (in *installer) part(ctx context.Context, step *progress.Step, jobs []*job) error {
	needs, err := preDepends(jobs, in.Architecture)
	if err != nil {
		return err
	}
	rounds := preinstRounds(jobs, needs)
	for i, round := range rounds {
		for _, j := range round.place {
			if err := in.wait(ctx, j); err != nil {
				return err
			}
		}
		if err := in.placeRound(ctx, round.place); err != nil {
			return err
		}
		if err := in.writeSeeds(); err != nil {
			return err
		}
		if err := in.held.placed(round.place); err != nil {
			return err
		}
		if i == len(rounds)-1 {
			in.held.placedAll(jobs)
		}
		ended := in.pace.scriptsRun()
		err := in.configure(ctx, step, round.configure)
		ended()
		if err != nil {
			return err
		}
	}
	return nil
}

// ignoreCancel drops the error of work that was stopped on purpose.
func ignoreCancel(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (in *installer) placeRound(ctx context.Context, jobs []*job) error {
	if err := in.refresh(); err != nil { // postinsts have run
		return err
	}
	var placed []*installed
	for _, j := range jobs {
		if _, ok := j.staged.control["preinst"]; ok {
			// The script may look at the database, so what is placed must be on record.
			if err := in.register(placed); err != nil {
				return err
			}
			placed = nil
			if err := in.preinst(ctx, j); err != nil {
				return err
			}
			if err := in.refresh(); err != nil {
				return err
			}
		}
		inst, err := in.placer.place(j.staged, asNew)
		if err != nil {
			return err
		}
		in.db.interests.activate(inst, in.configured)
		placed = append(placed, inst)
	}
	return in.register(placed)
}

// refresh drops what scripts may have changed: where directories are,
// diversions, overridden modes.
func (in *installer) refresh() error {
	in.placer.dirs.forget()
	return in.db.reload()
}

// configured tells whether a package of the root, "name" or "name:arch" as
// dpkg's records of triggers have it, is configured.
func (in *installer) configured(who string) bool {
	job := in.byName[who]
	return job == nil || job.done
}

// writeSeeds writes the files of Seeds whose folders are there.
func (in *installer) writeSeeds() error {
	for p, content := range in.Seeds {
		fd, base, err := in.placer.dirs.parent(p)
		if err != nil {
			continue // its package is not in this root, or not yet
		}
		if err := writeAt(fd, base, content); err != nil {
			return fmt.Errorf("write /%s: %w", p, hostErr(err))
		}
	}
	return nil
}

// register puts placed packages on record as unpacked.
func (in *installer) register(placed []*installed) error {
	if len(placed) == 0 {
		return nil
	}
	for _, p := range placed {
		if err := p.writeInfo(in.db.root); err != nil {
			return hostErr(err)
		}
		if err := in.db.record(p); err != nil {
			return hostErr(err)
		}
		in.db.packages = append(in.db.packages, p)
	}
	if err := in.db.dropLost(); err != nil {
		return hostErr(err)
	}
	var err error
	pending := in.db.interests.pending
	if in.db.interests, err = loadInterests(in.db.root); err != nil {
		return err
	}
	if pending != nil {
		in.db.interests.pending = pending
	}
	return hostErr(in.db.appendStatus(placed))
}

// adoptOwners fills the table of who owns which path from a root that has
// packages already.
func (in *installer) adoptOwners() error {
	pkgs, err := readInstalled(in.db.root, in.placer.dirs)
	if err != nil {
		return err
	}
	for _, p := range pkgs {
		for _, path := range p.list {
			in.placer.owner[path] = p
		}
	}
	in.db.interests, err = loadInterests(in.db.root)
	return err
}

// writeAutoMarks tells apt which packages came in as dependencies.
func (in *installer) writeAutoMarks() error {
	var b strings.Builder
	old, err := in.db.root.read(extendedState)
	if err != nil {
		return err
	}
	b.Write(old)
	auto := []*job{}
	for _, j := range in.order {
		if j.Auto {
			auto = append(auto, j)
		}
	}
	slices.SortFunc(auto, func(a, b *job) int { return strings.Compare(a.Name, b.Name) })
	for _, j := range auto {
		arch := j.Architecture
		if arch == "all" {
			arch = in.Architecture
		}
		fmt.Fprintf(&b, "Package: %s\nArchitecture: %s\nAuto-Installed: 1\n\n", j.Name, arch)
	}
	if b.Len() == 0 {
		return nil
	}
	if err := in.db.root.mkdirAll(path.Dir(extendedState)); err != nil {
		return err
	}
	return in.db.root.replace(extendedState, []byte(b.String()), 0o644)
}

// epochEnv is the environment variable for reproducible scripts.
func epochEnv(t time.Time) string {
	return "SOURCE_DATE_EPOCH=" + strconv.FormatInt(t.Unix(), 10)
}
