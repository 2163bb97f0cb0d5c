package customise

import (
	"fmt"
	"strings"
	"time"

	"cloudy/builder/fail"
	"cloudy/builder/nodeagent"
	"cloudy/builder/recipe"
	"cloudy/builder/tree"
)

// Apply returns what img changes in base. Times of all that it adds are epoch.
// The agent is for images that have one, else nil.
func Apply(base *tree.Tree, img *recipe.Image, agent *nodeagent.Agent, epoch time.Time) (*Delta, error) {
	d := newDelta(base, epoch)
	a, err := readAccounts(d)
	if err != nil {
		return nil, err
	}
	forAgent := func(do func() error) func() error {
		if !img.HasAgent() {
			return func() error { return nil }
		}
		return do
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"groups", func() error { return a.addGroups(img.Groups) }},
		{"users", func() error { return a.addUsers(img.Users) }},
		{"agent's accounts", forAgent(a.addAgentAccounts)},
		{"accounts", a.save},
		{"names", func() error { return names(d, img) }},
		{"agent", forAgent(func() error { return d.agent(a, img, agent) })},
		{"overlays", func() error { return overlays(d, a, img.Overlays) }},
		{"directories", func() error { return directories(d, a, img.Directories) }},
		{"grow", func() error { return grow(d, img.Grow) }},
		{"files", func() error { return files(d, a, img.Files) }},
		{"names", func() error { return zone(d, img) }},
		{"homes", a.homes},
		{"units", func() error { return units(d, img.Units) }},
	} {
		if err := step.do(); err != nil {
			return nil, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return d, nil
}

func overlays(d *Delta, a *accounts, list []recipe.Overlay) error {
	for _, o := range list {
		for i := range o.Entries {
			e := &o.Entries[i]
			if e.Type == 'd' && !e.Declared {
				if d.isDir(e.Path) {
					continue
				}
			}
			uid, gid, err := a.owner(e.Owner, e.Group)
			if err != nil {
				return fmt.Errorf("overlay %s: /%s: %w", o.Name, e.Path, err)
			}
			te := tree.Entry{Path: e.Path, Type: tree.Type(e.Type), Mode: e.Mode, UID: uid, GID: gid, Link: e.Link}
			if te.Type == tree.File {
				te.Size, te.Content = e.Size, e.Open
			}
			if err := d.ask(te); err != nil {
				return fmt.Errorf("overlay %s: %w", o.Name, err)
			}
		}
	}
	return nil
}

// isDir tells whether p is a folder, or a link to one.
func (d *Delta) isDir(p string) bool {
	p, err := d.follow(p)
	if err != nil {
		return false
	}
	e := d.find(p)
	return e != nil && e.Type == tree.Dir
}

// ask is put for what the recipe names.
func (d *Delta) ask(e tree.Entry) error {
	if err := d.put(e); err != nil {
		return err
	}
	p, err := d.resolve(e.Path)
	d.asked[p] = true
	return err
}

func directories(d *Delta, a *accounts, list []recipe.Directory) error {
	for _, dir := range list {
		uid, gid, err := a.owner(dir.Owner, dir.Group)
		if err != nil {
			return recipe.At(dir.Range, fmt.Errorf("%s: %w", dir.Path, err))
		}
		if err := d.ask(tree.Entry{Path: dir.Path, Type: tree.Dir, Mode: dir.Mode, UID: uid, GID: gid}); err != nil {
			return recipe.At(dir.Range, err)
		}
	}
	return nil
}

func files(d *Delta, a *accounts, list []recipe.File) error {
	for i := range list {
		f := &list[i]
		var err error
		switch {
		case f.Absent:
			err = d.remove(f.Path)
		case f.Link != "":
			err = d.symlink(f.Path, f.Link)
		default:
			e := tree.Entry{Path: f.Path, Type: tree.File, Mode: f.Mode, Size: f.Size, Content: f.Open}
			if e.UID, e.GID, err = a.owner(f.Owner, f.Group); err == nil {
				err = d.put(e)
			}
		}
		if err != nil {
			return recipe.At(f.Range, fmt.Errorf("file %q: %w", f.Path, err))
		}
	}
	return nil
}

// names sets host name, time zone and locale. Overlays and files come later
// and win.
func names(d *Delta, img *recipe.Image) error {
	if img.Hostname != "" {
		if err := d.write("etc/hostname", 0o644, img.Hostname+"\n"); err != nil {
			return err
		}
		hosts := "127.0.0.1\tlocalhost\n127.0.1.1\t" + img.Hostname +
			"\n\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
		if err := d.write("etc/hosts", 0o644, hosts); err != nil {
			return err
		}
	}
	if img.Timezone != "" {
		if err := d.symlink("etc/localtime", "/usr/share/zoneinfo/"+img.Timezone); err != nil {
			return err
		}
		if err := d.write("etc/timezone", 0o644, img.Timezone+"\n"); err != nil {
			return err
		}
	}
	if img.Locale != "" {
		// /etc/default/locale is a link to ../locale.conf in trixie.
		target := "etc/locale.conf"
		if e := d.find("etc/default/locale"); e != nil && e.Type == tree.File {
			target = "etc/default/locale"
		}
		if err := d.write(target, 0o644, "LANG="+img.Locale+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// zone checks that there is the time zone: C libraries take a link to nowhere
// as UTC and say nothing.
func zone(d *Delta, img *recipe.Image) error {
	const zones = "/usr/share/zoneinfo/"
	link, err := d.resolve("etc/localtime")
	if err != nil {
		return err
	}
	if e := d.find(link); img.Timezone == "" || img.Timezone == "UTC" || img.Timezone == "Etc/UTC" || e == nil || e.Link != zones+img.Timezone {
		return nil // UTC is what it comes to anyway; or a file of the recipe has the last word
	}
	file, err := d.follow(strings.TrimPrefix(zones, "/") + img.Timezone)
	if err != nil {
		return err
	}
	if e := d.find(file); e != nil && e.Type == tree.File {
		return nil
	}
	var names []string
	for _, e := range d.below(strings.Trim(zones, "/")) {
		if e.Type != tree.Dir {
			names = append(names, strings.TrimPrefix("/"+e.Path, zones))
		}
	}
	hint := "names such as US/Eastern are in the package tzdata-legacy"
	if near := recipe.Nearest(img.Timezone, names); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	} else if len(names) == 0 {
		hint = `add "tzdata" to packages`
	}
	return fail.WithHint(fail.User, recipe.At(img.Where("timezone"), fmt.Errorf("the image has no time zone %q", img.Timezone)), hint)
}

// grow lets systemd-repart enlarge the root partition at first boot.
func grow(d *Delta, g recipe.Grow) error {
	conf := g.RepartConf()
	if conf == "" {
		return nil
	}
	return d.write(recipe.RepartPath, 0o644, conf)
}
