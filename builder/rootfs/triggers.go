package rootfs

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"cloudy/builder/fail"
)

// interests is who waits for which trigger (deb-triggers(5)). dpkg keeps it
// in /var/lib/dpkg/triggers: one file per explicit trigger, and File for
// triggers that are path names.
type interests struct {
	file     map[string][]string // path without leading slash -> package[/noawait]
	explicit map[string][]string
	pending  map[string][]string // package, with its architecture where it is Multi-Arch: same -> triggers activated by unpacking
}

// triggerDirectives returns the directives of a triggers control file.
func triggerDirectives(data []byte, yield func(directive, name string)) {
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		if f := strings.Fields(line); len(f) == 2 {
			yield(f[0], f[1])
		}
	}
}

// loadInterests reads the interests that are on record in root.
func loadInterests(root rootDir) (interests, error) {
	in := interests{file: map[string][]string{}, explicit: map[string][]string{}, pending: map[string][]string{}}
	data, err := root.read(fileTriggers)
	if err != nil {
		return in, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 2 {
			p := strings.TrimPrefix(f[0], "/")
			in.file[p] = append(in.file[p], f[1])
		}
	}
	dir, err := root.Open(triggersPath)
	if err != nil {
		return in, err
	}
	defer dir.Close()
	names, err := dir.ReadDir(-1)
	if err != nil {
		return in, err
	}
	for _, n := range names {
		if n.Name() == "File" || n.Name() == "Unincorp" || n.Name() == "Lock" {
			continue
		}
		data, err := root.read(triggersPath + "/" + n.Name())
		if err != nil {
			return in, err
		}
		in.explicit[n.Name()] = strings.Fields(string(data))
	}
	return in, nil
}

// activate records what unpacking p sets off in packages that are configured
// already. Packages that are not are left out: configuring them does the work.
func (in *interests) activate(p *installed, configured func(who string) bool) {
	fire := func(trigger string, who []string) {
		for _, w := range who {
			pkg, _, _ := strings.Cut(w, "/")
			if configured(pkg) && pkg != p.infoName() && !slices.Contains(in.pending[pkg], trigger) {
				in.pending[pkg] = append(in.pending[pkg], trigger)
			}
		}
	}
	triggerDirectives(p.control["triggers"].Data, func(directive, name string) {
		if strings.HasPrefix(directive, "activate") {
			if strings.HasPrefix(name, "/") {
				fire(name, in.file[name[1:]])
			} else {
				fire(name, in.explicit[name])
			}
		}
	})
	if len(in.file) == 0 {
		return
	}
	for _, path := range p.list {
		for dir := path; dir != ""; {
			if who := in.file[dir]; who != nil {
				fire("/"+dir, who)
			}
			i := strings.LastIndexByte(dir, '/')
			dir = dir[:max(i, 0)]
		}
	}
}

// record writes the interests of a freshly placed package where dpkg keeps
// them: the newest record first, as dpkg does.
func (db *database) record(p *installed) error {
	var files []string
	var err error
	triggerDirectives(p.control["triggers"].Data, func(directive, name string) {
		if !strings.HasPrefix(directive, "interest") || err != nil {
			return
		}
		who := p.name
		if p.same {
			who += ":" + p.arch
		}
		if directive == "interest-noawait" {
			who += "/noawait"
		}
		if strings.HasPrefix(name, "/") {
			files = append(files, name+" "+who)
			return
		}
		if strings.Contains(name, "/") {
			err = fail.Mark(fail.Build, fmt.Errorf("package %s: trigger name %q is not valid", p.name, name))
			return
		}
		err = db.root.appendLine(triggersPath+"/"+name, who)
	})
	if err != nil || len(files) == 0 {
		return err
	}
	return db.root.appendLine(fileTriggers, strings.Join(files, "\n"))
}

func (db *database) takePending() map[string][]string {
	p := db.interests.pending
	db.interests.pending = map[string][]string{}
	return p
}

// markPending sets packages of a status file to triggers-pending.
func markPending(status []byte, pending map[string][]string) []byte {
	if len(pending) == 0 {
		return status
	}
	var b bytes.Buffer
	for stanza := range strings.SplitSeq(strings.TrimRight(string(status), "\n"), "\n\n") {
		if stanza == "" {
			continue
		}
		b.WriteString(pendingStanza(stanza, pending) + "\n\n")
	}
	return b.Bytes()
}

// pendingStanza adds a package's new triggers to those that wait already.
func pendingStanza(stanza string, pending map[string][]string) string {
	field := func(name string) string {
		_, rest, _ := strings.Cut("\n"+stanza, "\n"+name+": ")
		value, _, _ := strings.Cut(rest, "\n")
		return value
	}
	who := field("Package")
	if field("Multi-Arch") == "same" {
		who += ":" + field("Architecture")
	}
	trig := pending[who]
	if trig == nil {
		return stanza
	}
	waiting := field("Triggers-Pending")
	all := strings.Fields(waiting)
	for _, t := range trig {
		if !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	line := "Triggers-Pending: " + strings.Join(all, " ")
	if waiting != "" {
		return strings.Replace(stanza, "Triggers-Pending: "+waiting, line, 1)
	}
	for _, state := range []string{"installed", "triggers-awaited"} {
		now := strings.Replace(state, "installed", "triggers-pending", 1)
		stanza = strings.Replace(stanza, "\nStatus: install ok "+state+"\n", "\nStatus: install ok "+now+"\n"+line+"\n", 1)
	}
	return stanza
}
