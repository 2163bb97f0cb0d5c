package rootfs

import (
	"slices"

	"cloudy/builder/deb"
)

// dependencies answers which packages of one request need which.
type dependencies struct {
	jobs     []*job
	provider map[string][]*job
}

func newDependencies(jobs []*job) (*dependencies, error) {
	d := &dependencies{jobs: jobs, provider: map[string][]*job{}}
	for _, j := range jobs {
		d.provider[j.Name] = append([]*job{j}, d.provider[j.Name]...)
		rel, err := deb.ParseRelations(j.meta.para.Get("Provides"))
		if err != nil {
			return nil, err
		}
		for _, alts := range rel {
			for _, r := range alts {
				d.provider[r.Name] = append(d.provider[r.Name], j)
			}
		}
	}
	return d, nil
}

// direct returns what the given fields of j ask for, as far as it is part of
// the request; what is not is configured already.
func (d *dependencies) direct(j *job, fields ...string) ([]*job, error) {
	var out []*job
	for _, f := range fields {
		rel, err := deb.ParseRelations(j.meta.para.Get(f))
		if err != nil {
			return nil, err
		}
		for _, alts := range rel {
			out = append(out, firstOf(alts, d.provider)...)
		}
	}
	return out, nil
}

// closure adds all that j needs by the given fields, and what that needs in
// turn by Pre-Depends and Depends, to set.
func (d *dependencies) closure(j *job, set map[*job]bool, fields ...string) error {
	queue, err := d.direct(j, fields...)
	if err != nil {
		return err
	}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		if n == j || set[n] {
			continue
		}
		set[n] = true
		more, err := d.direct(n, "Pre-Depends", "Depends")
		if err != nil {
			return err
		}
		queue = append(queue, more...)
	}
	return nil
}

// preDepends returns, for each job with a preinst, the jobs that must be
// configured before that script runs.
func preDepends(jobs []*job) (map[*job]map[*job]bool, error) {
	deps, err := newDependencies(jobs)
	if err != nil {
		return nil, err
	}
	out := map[*job]map[*job]bool{}
	for _, j := range jobs {
		if _, ok := j.meta.control["preinst"]; !ok {
			continue
		}
		set := map[*job]bool{}
		if err := deps.closure(j, set, "Pre-Depends"); err != nil {
			return nil, err
		}
		if len(set) > 0 {
			out[j] = set
		}
	}
	return out, nil
}

// firstOf returns the jobs that may satisfy one dependency: the package of
// the first alternative that is among them, or all that provide it.
func firstOf(alts deb.Alternatives, provider map[string][]*job) []*job {
	for _, r := range alts {
		if p := provider[r.Name]; len(p) > 0 {
			if i := slices.IndexFunc(p, func(j *job) bool { return j.Name == r.Name }); i >= 0 {
				return p[i : i+1]
			}
			return p
		}
	}
	return nil
}
