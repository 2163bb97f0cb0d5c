package customise

import (
	"errors"
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
			return recipe.At(t.Range, fmt.Errorf("enable %s: %w", t.Value, err))
		}
		preset.WriteString("enable " + t.Value + "\n")
	}
	// Also= takes other units along when one is disabled, but not those that
	// the recipe enables. The preset must name them too: any of them that is
	// enabled at first boot brings back the others.
	seen := map[string]bool{}
	for _, t := range u.Enable {
		seen[t.Value] = true
	}
	for _, t := range u.Disable {
		names, err := disable(d, t.Value, seen)
		if err != nil {
			return recipe.At(t.Range, fmt.Errorf("disable %s: %w", t.Value, err))
		}
		for _, n := range names {
			preset.WriteString("disable " + n + "\n")
		}
	}
	for _, t := range u.Mask {
		if err := dropLinks(d, t.Value, nil); err != nil {
			return recipe.At(t.Range, fmt.Errorf("mask %s: %w", t.Value, err))
		}
		if err := d.symlink(adminUnits+"/"+t.Value, "/dev/null"); err != nil {
			return recipe.At(t.Range, fmt.Errorf("mask %s: %w", t.Value, err))
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
	wantedBy, requiredBy, upheldBy, alias, also []string
	defaultInstance                             string
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
	if prefix, ok := strings.CutSuffix(strings.TrimSuffix(unit, path.Ext(unit)), "@"); ok {
		if in.defaultInstance == "" {
			if len(seen) > 1 {
				return nil // another unit takes it along
			}
			return fail.WithHint(fail.User, errors.New("a template needs an instance"), "write the instance between @ and the dot, as in "+prefix+"@eth0"+path.Ext(unit))
		}
		unit = prefix + "@" + in.defaultInstance + path.Ext(unit)
	}
	for suffix, targets := range map[string][]string{".wants": in.wantedBy, ".requires": in.requiredBy, ".upholds": in.upheldBy} {
		for _, t := range targets {
			if err := link(d, unit, t+suffix+"/"+unit, file); err != nil {
				return err
			}
		}
	}
	for _, a := range in.alias {
		if err := link(d, unit, a, file); err != nil {
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

// link makes one link to a unit in the administrator's folder.
func link(d *Delta, unit, name, file string) error {
	name, err := specifiers(name, unit)
	if err != nil {
		return err
	}
	return d.symlink(adminUnits+"/"+name, "/"+file)
}

// specifiers replaces what stands for a part of the unit's name
// (systemd.unit(5), SPECIFIERS).
func specifiers(text, unit string) (string, error) {
	full := strings.TrimSuffix(unit, path.Ext(unit))
	prefix, instance, _ := strings.Cut(full, "@")
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		switch text[i] {
		case '%':
			b.WriteByte('%')
		case 'i':
			b.WriteString(instance)
		case 'j':
			b.WriteString(prefix[strings.LastIndexByte(prefix, '-')+1:])
		case 'n':
			b.WriteString(unit)
		case 'N':
			b.WriteString(full)
		case 'p':
			b.WriteString(prefix)
		default:
			return "", fail.Mark(fail.Build, fmt.Errorf("the specifier %%%c in %q is known on the running machine alone", text[i], text))
		}
	}
	return b.String(), nil
}

// disable removes every link by which the administrator's folder starts unit,
// and those of the units that Also= takes along. It returns their names.
// Units of seen stay as they are.
func disable(d *Delta, unit string, seen map[string]bool) ([]string, error) {
	if seen[unit] {
		return nil, nil
	}
	seen[unit] = true
	in := install{}
	if file, err := findUnit(d, unit); err == nil {
		if in, err = readInstall(d, file); err != nil {
			return nil, err
		}
	}
	if err := dropLinks(d, unit, in.alias); err != nil {
		return nil, err
	}
	names := []string{unit}
	for _, other := range in.also {
		more, err := disable(d, other, seen)
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	return names, nil
}

// dropLinks removes the links to unit, and those under the names of alias.
func dropLinks(d *Delta, unit string, alias []string) error {
	names := []string{unit}
	for _, a := range alias {
		name, err := specifiers(a, unit)
		if err != nil {
			return err
		}
		names = append(names, name)
	}
	for _, t := range []*tree.Tree{d.base, {Entries: d.Added()}} {
		for i := range t.Entries {
			e := &t.Entries[i]
			rest, ok := strings.CutPrefix(e.Path, adminUnits+"/")
			if !ok || e.Type != tree.Symlink || !slices.Contains(names, path.Base(e.Path)) && !slices.Contains(names, rest) && path.Base(e.Link) != unit {
				continue
			}
			dir := path.Dir(rest)
			if dir == "." || slices.Contains([]string{".wants", ".requires", ".upholds"}, path.Ext(dir)) {
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
		values := words(value)
		list := map[string]*[]string{
			"WantedBy": &in.wantedBy, "RequiredBy": &in.requiredBy, "UpheldBy": &in.upheldBy, "Alias": &in.alias, "Also": &in.also,
		}[strings.TrimSpace(key)]
		switch {
		case list != nil && len(values) == 0:
			*list = nil // an empty assignment starts anew
		case list != nil:
			*list = append(*list, values...)
		case strings.TrimSpace(key) == "DefaultInstance":
			in.defaultInstance = strings.TrimSpace(value)
		}
	}
	return in, nil
}

// words splits a value; a word may stand in quotes (systemd.syntax(7)).
func words(value string) []string {
	out := strings.Fields(value)
	for i, w := range out {
		if n := len(w); n >= 2 && (w[0] == '"' || w[0] == '\'') && w[n-1] == w[0] {
			out[i] = w[1 : n-1]
		}
	}
	return out
}
