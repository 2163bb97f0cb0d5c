package page

import (
	"context"
	"net/url"
	"slices"
	"time"
)

// logLines is how many lines of a log are shown.
const logLines = 200

func (v *view) logs() part {
	sources := v.node().Sources()
	// What services write is theirs, and may hold what is not for guests.
	if !v.admin() {
		sources = sources[:min(len(sources), 1)]
	}
	at := v.r.URL.Query().Get("of")
	if !slices.Contains(sources, at) && len(sources) > 0 {
		at = sources[0]
	}
	var tabs pile
	for _, s := range sources {
		var current part
		if s == at {
			current = attr("aria-current", "page")
		}
		tabs.add(el("li", el("a", href("/logs?of="+url.QueryEscape(s)), current, text(s))))
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), 10*time.Second)
	defer cancel()
	lines, err := v.node().Log(ctx, at, logLines)
	var body part
	switch {
	case err != nil:
		body = group(el("p", v.say(mLogUnreadable)), v.technical(err.Error()))
	case len(lines) == 0:
		body = v.empty("M5 3h10v14H5zM8 7h4M8 10h4M8 13h2", mLogEmpty, mLogEmptyWhat)
	default:
		slices.Reverse(lines)
		var out pile
		for _, l := range lines {
			stamp := ""
			if !l.At.IsZero() {
				stamp = l.At.Format("2006-01-02 15:04:05") + " "
			}
			kind := "line"
			if l.Level != "" {
				kind = "line " + l.Level
			}
			out.add(el("span", class(kind), el(`span class="stamp"`, text(stamp)), text(l.Text+"\n")))
		}
		body = el(`pre lang="en"`, out.part())
	}
	if len(sources) > 0 && at == sources[0] {
		v.live("log", body) // the others cost a process for each look
	}
	return group(
		v.heading(v.say(mLogs), v.sayf(mLogsLead, logLines)),
		when(len(sources) > 1, el("nav", attr("aria-label", v.lang.say(mLogs)), el(`ul class="tabs"`, tabs.part()))),
		el(`div id="log" class="log" role="region"`, attr("aria-label", v.lang.sayf(mLogOf, at)), attr("tabindex", "0"), body),
	)
}
