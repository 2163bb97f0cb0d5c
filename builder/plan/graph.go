package plan

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cloudy/builder/customise"
	"cloudy/builder/fail"
	"cloudy/builder/lock"
	"cloudy/builder/nodeagent"
	"cloudy/builder/recipe"
)

// New lays out the steps of a build and looks up which results are there.
// version is the program's, which is part of what an artefact is made of.
func (e *Engine) New(img *recipe.Image, l *lock.Image, wanted []recipe.Target) (*Build, error) {
	b := &Build{Image: img, Lock: l, Targets: wanted, engine: e}
	old := loadRecord(e.Store, img.Name, img.Arch)
	var last *Step
	add := func(s *Step, cached bool, after ...*Step) *Step {
		s.Cached = cached
		s.explain(old, after)
		b.Steps = append(b.Steps, s)
		last = s
		return s
	}
	for i, batch := range l.Batches() {
		name := "packages"
		if i > 0 {
			name += "+" + strconv.Itoa(i)
		}
		var after []*Step
		if last != nil {
			after = []*Step{last}
		}
		s := newStep(name, b.packageParts(batch), after...)
		b.packages = append(b.packages, add(s, e.hasLayer(s.Key), after...))
	}
	if last == nil {
		return nil, fmt.Errorf("image %s: the lock has no packages", img.Name)
	}
	if img.HasAgent() {
		agent, err := nodeagent.Find(img.Arch)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", img.Name, err)
		}
		b.agent = agent
	}
	custom := newStep("customise", b.customParts(), last)
	// Without commands the result is not kept: it is as cheap to make as to read.
	// What can be told then is whether it is as it was.
	kept := last.Cached && old[custom.Name][keyPart] == custom.Key
	if len(img.Runs) > 0 {
		kept = e.hasLayer(custom.Key)
	}
	add(custom, kept, last)
	for i := range img.Runs {
		r := &img.Runs[i]
		s := newStep("run "+r.Name, map[string]string{"command": digest(r)}, last)
		b.runs = append(b.runs, add(s, e.hasLayer(s.Key), last))
	}
	b.root = last
	for _, t := range wanted {
		kind, ok := kinds()[t.Name]
		if !ok {
			return nil, fail.WithHint(fail.User, recipe.At(t.Range, fmt.Errorf("this program makes no target %q", t.Name)),
				"it makes "+strings.Join(CanMake(), ", "))
		}
		s := b.targetStep(kind, t)
		s.Cached = e.haveArtefacts(b.base(t), s.Key)
		s.explain(old, []*Step{b.root})
		b.Steps = append(b.Steps, s)
		b.targets = append(b.targets, s)
	}
	for _, s := range b.Steps {
		s.Image = lock.Key(img.Name, img.Arch)
	}
	return b, nil
}

// LookShared asks the shared cache which of the layers that are not here it
// has. No layer is fetched.
func (b *Build) LookShared(ctx context.Context) error {
	old := loadRecord(b.engine.Store, b.Image.Name, b.Image.Arch)
	layers := slices.Concat(b.packages, b.runs)
	if len(b.runs) > 0 {
		layers = append(layers, b.Steps[len(b.packages)]) // what they run on
	}
	byName := map[string]*Step{}
	for _, s := range b.Steps {
		byName[s.Name] = s
		if !s.Cached && slices.Contains(layers, s) {
			var err error
			if s.Shared, err = b.engine.Cache.Find(ctx, s.Name, b.meta(s)); err != nil {
				return err
			}
		}
		var after []*Step
		for _, name := range s.After {
			after = append(after, byName[name])
		}
		s.explain(old, after)
	}
	return nil
}

func (b *Build) targetStep(kind kind, t recipe.Target) *Step {
	img := b.Image
	return newStep("target "+t.Name, map[string]string{
		"options": digest(t), "kernel arguments": digest(img.Kernel), "grow": digest(img.Grow), "format": kind.format,
		"description": digest(kind.options(img, t)), // what else of the image the target writes down
	}, b.root)
}

func (e *Engine) hasLayer(key string) bool {
	_, ok := e.Store.Layer(key)
	return ok
}

// packageParts is what a layer of packages is made of.
func (b *Build) packageParts(batch []lock.Package) map[string]string {
	parts := map[string]string{
		"architecture": b.Image.Arch,
		"epoch":        strconv.FormatInt(b.Lock.Epoch, 10),
		"debconf":      digest(debconf(b.Image, batch)),
		"exclude":      digest(b.Image.Exclude),
		"initramfs":    digest(b.Image.Initramfs),
	}
	for i := range batch {
		p := &batch[i]
		// The place in the order counts too: ids of system users follow it.
		parts["package "+p.Name+":"+p.Architecture] = fmt.Sprintf("%s %s #%d %t %t", p.Version, p.SHA256[:12], i, p.Base, p.Auto)
	}
	return parts
}

// customParts is what the recipe lays over the packages, part by part so that
// a miss can say which.
func (b *Build) customParts() map[string]string {
	img := b.Image
	parts := map[string]string{
		"files": digest(img.Files), "directories": digest(img.Directories), "groups": digest(img.Groups),
		"users": digest(img.Users), "units": digest(img.Units), "hostname": img.Hostname, "locale": img.Locale,
		"timezone": img.Timezone, "mesh": digest(img.Mesh), "page": digest(img.Page), "services": digest(img.Services), "grow": digest(img.Grow),
		"archives": digest(img.Archives),
	}
	if b.agent != nil {
		parts["agent"] = b.agent.SHA256
		parts["agent's units"] = customise.AgentFiles()
	}
	for i := range img.Overlays {
		o := &img.Overlays[i]
		for j := range o.Entries {
			parts["overlay "+o.Name+": /"+o.Entries[j].Path] = digest(&o.Entries[j])
		}
	}
	return parts
}

// base is the name of a target's artefacts without a suffix.
func (b *Build) base(t recipe.Target) string {
	name := b.Image.Name + "-" + b.Image.Arch
	if t.Name != "vm" {
		name += "-" + t.Name
	}
	return name
}
