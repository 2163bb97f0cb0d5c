package rootfs

import (
	"slices"

	"cloudy/builder/deb"
)

// preDepends returns, for each job with a preinst, the jobs that must be
// configured before that script runs: what it pre-depends on, and all that
// those need in turn. Packages outside of jobs are configured already.
func preDepends(jobs []*job) (map[*job]map[*job]bool, error) {
	provider := map[string][]*job{}
	for _, j := range jobs {
		provider[j.Name] = append([]*job{j}, provider[j.Name]...)
		rel, err := deb.ParseRelations(j.staged.para.Get("Provides"))
		if err != nil {
			return nil, err
		}
		for _, alts := range rel {
			for _, r := range alts {
				provider[r.Name] = append(provider[r.Name], j)
			}
		}
	}
	direct := func(j *job, fields ...string) ([]*job, error) {
		var out []*job
		for _, f := range fields {
			rel, err := deb.ParseRelations(j.staged.para.Get(f))
			if err != nil {
				return nil, err
			}
			for _, alts := range rel {
				out = append(out, firstOf(alts, provider)...)
			}
		}
		return out, nil
	}
	closures := map[*job]map[*job]bool{}
	for _, j := range jobs {
		if _, ok := j.staged.control["preinst"]; !ok {
			continue
		}
		queue, err := direct(j, "Pre-Depends")
		if err != nil {
			return nil, err
		}
		seen := map[*job]bool{}
		for len(queue) > 0 {
			d := queue[0]
			queue = queue[1:]
			if d == j || seen[d] {
				continue
			}
			seen[d] = true
			more, err := direct(d, "Pre-Depends", "Depends")
			if err != nil {
				return nil, err
			}
			queue = append(queue, more...)
		}
		if len(seen) > 0 {
			closures[j] = seen
		}
	}
	return closures, nil
}

// firstOf returns the jobs that may satisfy one dependency: all instances of
// the first alternative that is among them.
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
