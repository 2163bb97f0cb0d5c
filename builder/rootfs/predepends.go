package rootfs

import "cloudy/builder/deb"

// dependencies answers which packages of one request need which.
type dependencies struct {
	jobs  []*job
	place map[*job]int
	needs *deb.Needs
}

func newDependencies(jobs []*job, native string) (*dependencies, error) {
	d := &dependencies{jobs: jobs, place: map[*job]int{}}
	set := make([]*deb.Package, len(jobs))
	for i, j := range jobs {
		d.place[j] = i
		get := j.meta.para.Get
		set[i] = &deb.Package{
			Name: j.Name, Version: get("Version"), Architecture: get("Architecture"), MultiArch: get("Multi-Arch"),
			Provides: get("Provides"), PreDepends: get("Pre-Depends"), Depends: get("Depends"),
		}
	}
	var err error
	d.needs, err = deb.NewNeeds(set, native)
	return d, err
}

// closure adds all that j needs to set: by Pre-Depends alone or by Depends as
// well, and what that needs in turn. What is not part of the request is
// configured already.
func (d *dependencies) closure(j *job, set map[*job]bool, preOnly bool) error {
	found := map[int]bool{}
	if err := d.needs.Closure(d.place[j], preOnly, found); err != nil {
		return err
	}
	for i := range found {
		set[d.jobs[i]] = true
	}
	return nil
}

// preDepends returns, for each job with a preinst, the jobs that must be
// configured before that script runs.
func preDepends(jobs []*job, native string) (map[*job]map[*job]bool, error) {
	deps, err := newDependencies(jobs, native)
	if err != nil {
		return nil, err
	}
	out := map[*job]map[*job]bool{}
	for _, j := range jobs {
		if _, ok := j.meta.control["preinst"]; !ok {
			continue
		}
		set := map[*job]bool{}
		if err := deps.closure(j, set, true); err != nil {
			return nil, err
		}
		if len(set) > 0 {
			out[j] = set
		}
	}
	return out, nil
}
