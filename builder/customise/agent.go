package customise

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"cloudy/builder/fail"
	"cloudy/builder/nodeagent"
	"cloudy/builder/recipe"
	"cloudy/builder/tree"
	"cloudy/firstboot/nodeconfig"
	agentunits "cloudy/firstboot/units"
)

// agentProgram is the agent in the image.
const agentProgram = "usr/bin/cloudy-node"

// tincd carries the mesh.
const tincd = "usr/sbin/tincd"

// agentGroup may read the node's configuration, where it has an invitation.
const agentGroup = "cloudy"

// eachAgentFile calls do for each of the units, presets and so on that the
// agent brings, sorted by name.
func eachAgentFile(do func(name, content string) error) error {
	return fs.WalkDir(agentunits.Files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := agentunits.Files.ReadFile(name)
		if err != nil {
			return err
		}
		return do(name, string(data))
	})
}

// AgentFiles is the digest of all that the agent brings beside its program.
func AgentFiles() string {
	h := sha256.New()
	// What is built in can be read.
	_ = eachAgentFile(func(name, content string) error {
		_, err := fmt.Fprintf(h, "%q %q\n", agentunits.Path(name), content)
		return err
	})
	return hex.EncodeToString(h.Sum(nil))
}

// addAgentAccounts makes the accounts that the agent's sysusers.d file asks
// for, so that files in the image can belong to them. At boot
// systemd-sysusers finds them there.
func (a *accounts) addAgentAccounts() error {
	return eachAgentFile(func(name, content string) error {
		if !strings.HasPrefix(agentunits.Path(name), "usr/lib/sysusers.d/") {
			return nil
		}
		for l := range strings.Lines(content) {
			if err := a.sysusersLine(strings.TrimSpace(l)); err != nil {
				return fmt.Errorf("%s: %q: %w", name, l, err)
			}
		}
		return nil
	})
}

// sysusersLine carries out one line of sysusers.d(5): u, g and m.
func (a *accounts) sysusersLine(l string) error {
	if l == "" || l[0] == '#' {
		return nil
	}
	f := quotedFields(l)
	field := func(i int) string {
		if i < len(f) && f[i] != "-" {
			return f[i]
		}
		return ""
	}
	switch typ := strings.TrimRight(field(0), "!"); typ {
	case "g":
		return a.addGroups([]recipe.Group{{Name: field(1), System: true}})
	case "m":
		return a.join(field(1), field(2))
	case "u":
		if line(a.passwd, field(1)) != nil {
			return nil
		}
		u := recipe.User{Name: field(1), System: true, Comment: field(3), Home: field(4), Shell: field(5)}
		if u.Home == "" {
			u.Home = "/" // as systemd-sysusers
		}
		return a.addUser(&u)
	default:
		return fmt.Errorf("lines of type %q are not known here", typ)
	}
}

// quotedFields splits at blanks, but not inside of double quotes.
func quotedFields(s string) []string {
	var out []string
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		var f string
		if rest, ok := strings.CutPrefix(s, `"`); ok {
			f, s, _ = strings.Cut(rest, `"`)
		} else if i := strings.IndexAny(s, " \t"); i >= 0 {
			f, s = s[:i], s[i:]
		} else {
			f, s = s, ""
		}
		out = append(out, f)
	}
	return out
}

// agent puts the node's agent into the image: the program, its units, the
// preset carried out, and the configuration that the recipe makes.
func (d *Delta) agent(a *accounts, img *recipe.Image, program *nodeagent.Agent) error {
	if program == nil {
		return errors.New("the image is for a node, and there is no agent to put in")
	}
	if img.Mesh != nil && d.find(tincd) == nil {
		return fail.WithHint(fail.User, recipe.At(img.Mesh.Range, errors.New("the image has no tincd, which carries the mesh")), `add "tinc" to packages`)
	}
	// In memory once: each target would have to unpack and verify it again.
	e := tree.Entry{Path: agentProgram, Type: tree.File, Size: program.Size, Content: program.Open}
	data, err := e.Read()
	if err != nil {
		return err
	}
	if err := d.put(tree.Entry{Path: agentProgram, Type: tree.File, Mode: 0o755, Size: int64(len(data)), Data: data}); err != nil {
		return err
	}
	var presets []string
	err = eachAgentFile(func(name, content string) error {
		if strings.HasSuffix(name, ".preset") {
			presets = append(presets, content)
		}
		return d.write(agentunits.Path(name), 0o644, content)
	})
	if err != nil {
		return err
	}
	for _, p := range presets {
		if err := d.preset(p); err != nil {
			return err
		}
	}
	return d.nodeConfig(a, img)
}

// preset does what a preset says, for the boots that are not the first. A
// unit that it turns off need not be there.
func (d *Delta) preset(text string) error {
	for l := range strings.Lines(text) {
		verb, unit, ok := strings.Cut(strings.TrimSpace(l), " ")
		unit = strings.TrimSpace(unit)
		if !ok || strings.HasPrefix(l, "#") || strings.ContainsAny(unit, "*? ") {
			continue
		}
		var err error
		switch verb {
		case "enable":
			err = enable(d, unit)
		case "disable":
			_, err = disable(d, unit, map[string]bool{})
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", verb, unit, err)
		}
	}
	return nil
}

// nodeConfig writes what the recipe says to the agent. An invitation in it is
// nobody else's to read.
func (d *Delta) nodeConfig(a *accounts, img *recipe.Image) error {
	c := img.NodeConfig()
	if err := c.WithDefaults().Validate(); err != nil {
		return fail.Mark(fail.User, err)
	}
	data, err := c.Encode()
	if err != nil {
		return err
	}
	e := tree.Entry{Path: strings.TrimPrefix(nodeconfig.Path, "/"), Type: tree.File, Mode: 0o644, Data: data, Size: int64(len(data))}
	if c.Mesh.Invitation != "" {
		e.Mode = 0o640
		if line(a.group, agentGroup) != nil {
			if e.GID, err = id(a.group, agentGroup); err != nil {
				return err
			}
		}
	}
	return d.put(e)
}
