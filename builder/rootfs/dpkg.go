package rootfs

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"cloudy/builder/progress"
)

// configure lets the root's own dpkg configure the packages, in this order;
// triggers wait until the end. The first failure is the last thing that it
// does, so that the end of the output is about it.
func (in *installer) configure(ctx context.Context, step *progress.Step, jobs []*job) error {
	if len(jobs) == 0 {
		return nil
	}
	args := []string{"dpkg", "--status-fd", "3", "--abort-after=1", "--force-unsafe-io", "--no-triggers", "--configure"}
	for _, j := range jobs {
		args = append(args, j.Name+":"+j.staged.arch)
	}
	if err := in.dpkg(ctx, step, args); err != nil {
		return err
	}
	for _, j := range jobs {
		j.done = true
	}
	return nil
}

// triggers processes what is still pending.
func (in *installer) triggers(ctx context.Context, step *progress.Step) error {
	return in.dpkg(ctx, step, []string{"dpkg", "--status-fd", "3", "--abort-after=1", "--force-unsafe-io", "--configure", "--pending"})
}

// dpkg runs one dpkg command and follows its status lines.
func (in *installer) dpkg(ctx context.Context, step *progress.Step, args []string) error {
	pr, pw, err := os.Pipe()
	if err != nil {
		return err
	}
	defer pr.Close()
	st := dpkgStatus{processing: step.Message, installed: func(name string) {
		if !in.counted[name] { // triggers make a package "installed" once more
			in.counted[name] = true
			step.Add(1)
		}
		in.held.installed(strings.TrimSuffix(name, ":"+in.Architecture))
	}}
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		io.Copy(&lineWriter{line: st.take}, pr)
	}()
	err = in.runner.run(ctx, command{what: "dpkg", args: args, step: step, files: []*os.File{pw}, binds: in.held.binds()})
	pw.Close()
	<-followed
	var se *ScriptError
	if errors.As(err, &se) {
		st.blame(se)
	}
	return err
}

// dpkgStatus follows the lines of dpkg(1)'s --status-fd.
type dpkgStatus struct {
	processing, installed func(name string)

	current     string // the package that dpkg worked on last
	failed, why string // the first package that could not be configured
}

func (st *dpkgStatus) take(line string) {
	kind, rest, _ := strings.Cut(line, ": ")
	switch kind {
	case "processing": // processing: configure: NAME
		if _, name, ok := strings.Cut(rest, ": "); ok {
			st.current = name
			st.processing(name)
		}
	case "status": // status: NAME: installed, or status: NAME : error : why
		if name, why, ok := strings.Cut(rest, " : error : "); ok {
			if st.failed == "" {
				st.failed, st.why = name, why
			}
		} else if name, ok := strings.CutSuffix(rest, ": installed"); ok {
			st.installed(name)
		}
	}
}

// blame says whose failure it is: dpkg ran for many packages. Where it blames
// none, the one that it was at has to do.
func (st *dpkgStatus) blame(e *ScriptError) {
	switch {
	case st.failed != "":
		e.What, e.Why = "configure "+st.failed, st.why
	case st.current != "":
		e.What = "configure " + st.current
	}
}
