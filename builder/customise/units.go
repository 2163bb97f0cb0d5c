package customise

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"cloudy/builder/fail"
	"cloudy/builder/recipe"
	"cloudy/builder/tree"
)

// Where systemd looks for units, the strongest first (systemd.unit(5)), and
// where it keeps what the administrator enabled.
var unitFolders = []string{"etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system"}

const (
	adminUnits = "etc/systemd/system"
	// presetFile decides what "enable everything at first boot", Debian's
	// policy, does not touch. It sorts before every preset of a package.
	presetFile = "etc/systemd/system-preset/00-image.preset"
)

// units enables, disables and masks units, as systemctl --root would, and
// writes the preset that keeps it so at first boot.
func units(d *Delta, u recipe.Units) error {
	var preset strings.Builder
	preset.WriteString("# Made from the recipe's units block.\n")
	for _, t := range u.Enable {
		if err := enable(d, t.Value); err != nil {
			return fmt.Errorf("%s: enable %s: %w", t.Range, t.Value, err)
		}
		preset.WriteString("enable " + t.Value + "\n")
	}
	for _, t := range u.Disable {
		if err := disable(d, t.Value); err != nil {
			return fmt.Errorf("%s: disable %s: %w", t.Range, t.Value, err)
		}
		preset.WriteString("disable " + t.Value + "\n")
	}
	for _, t := range u.Mask {
		if err := disable(d, t.Value); err != nil {
			return err
		}
		if err := d.symlink(adminUnits+"/"+t.Value, "/dev/null"); err != nil {
			return fmt.Errorf("%s: mask %s: %w", t.Range, t.Value, err)
		}
		preset.WriteString("disable " + t.Value + "\n")
	}
	if len(u.Enable)+len(u.Disable)+len(u.Mask) == 0 {
		return nil
	}
	return d.write(presetFile, 0o644, preset.String())
}

// install is the [Install] section of a unit (systemd.unit(5)).
type install struct {
	wantedBy, requiredBy, alias, also []string
	defaultInstance                   string
}

func enable(d *Delta, unit string) error { return enableOnce(d, unit, map[string]bool{}) }

func enableOnce(d *Delta, unit string, seen map[string]bool) error {
	if seen[unit] {
		return nil
	}
	seen[unit] = true
	file, err := findUnit(d, unit)
	if err != nil {
		return err
	}
	in, err := readInstall(d, file)
	if err != nil {
		return err
	}
	if prefix, ok := strings.CutSuffix(strings.TrimSuffix(unit, path.Ext(unit)), "@"); ok && in.defaultInstance != "" {
		unit = prefix + "@" + in.defaultInstance + path.Ext(unit)
	}
	for suffix, targets := range map[string][]string{".wants": in.wantedBy, ".requires": in.requiredBy} {
		for _, t := range targets {
			if err := d.symlink(adminUnits+"/"+t+suffix+"/"+unit, "/"+file); err != nil {
				return err
			}
		}
	}
	for _, a := range in.alias {
		if err := d.symlink(adminUnits+"/"+a, "/"+file); err != nil {
			return err
		}
	}
	for _, other := range in.also {
		if err := enableOnce(d, other, seen); err != nil {
			return err
		}
	}
	return nil
}

// disable removes every link by which the administrator's folder starts unit.
func disable(d *Delta, unit string) error {
	in := install{}
	if file, err := findUnit(d, unit); err == nil {
		if in, err = readInstall(d, file); err != nil {
			return err
		}
	}
	names := append(slices.Clone(in.alias), unit)
	for _, t := range []*tree.Tree{d.base, {Entries: d.Added()}} {
		for i := range t.Entries {
			e := &t.Entries[i]
			rest, ok := strings.CutPrefix(e.Path, adminUnits+"/")
			if !ok || e.Type != tree.Symlink || !slices.Contains(names, path.Base(e.Path)) && path.Base(e.Link) != unit {
				continue
			}
			dir := path.Dir(rest)
			if dir == "." || strings.HasSuffix(dir, ".wants") || strings.HasSuffix(dir, ".requires") {
				if err := d.remove(e.Path); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// findUnit returns the path of a unit's file, a template's for an instance.
func findUnit(d *Delta, unit string) (string, error) {
	names := []string{unit}
	if i := strings.IndexByte(unit, '@'); i >= 0 {
		names = append(names, unit[:i+1]+path.Ext(unit))
	}
	for _, name := range names {
		for _, dir := range unitFolders {
			e := d.find(dir + "/" + name)
			if e == nil {
				continue
			}
			if e.Type == tree.Symlink && e.Link == "/dev/null" {
				return "", fail.Mark(fail.User, fmt.Errorf("the unit is masked"))
			}
			return dir + "/" + name, nil
		}
	}
	return "", fail.WithHint(fail.User, fmt.Errorf("the image has no unit %s", unit), "add the package that brings it, or an overlay with the unit")
}

func readInstall(d *Delta, file string) (install, error) {
	var in install
	for range maxLinks {
		e := d.find(file)
		if e == nil || e.Type != tree.Symlink {
			break
		}
		target := e.Link
		if !path.IsAbs(target) {
			target = path.Join("/", path.Dir(file), target)
		}
		p, err := d.resolve(target)
		if err != nil {
			return in, err
		}
		file = p
	}
	text, err := d.read(file)
	if err != nil {
		return in, err
	}
	section := ""
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || section != "[Install]" || strings.HasPrefix(line, "#") {
			continue
		}
		values := strings.Fields(value)
		switch strings.TrimSpace(key) {
		case "WantedBy":
			in.wantedBy = append(in.wantedBy, values...)
		case "RequiredBy":
			in.requiredBy = append(in.requiredBy, values...)
		case "Alias":
			in.alias = append(in.alias, values...)
		case "Also":
			in.also = append(in.also, values...)
		case "DefaultInstance":
			in.defaultInstance = strings.TrimSpace(value)
		}
	}
	return in, nil
}
