package page

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// lang is a language of the page.
type lang int

const (
	english lang = iota
	catalan
	spanish
	languages
)

// languageTags are their names after BCP 47, languageNames what they call
// themselves.
var (
	languageTags  = [languages]string{"en", "ca", "es"}
	languageNames = [languages]string{"English", "Català", "Español"}
)

// message is one text in all languages: a fmt format, with the same verbs in
// the same order in each. A pointer, for it is handed around much.
type message *words

type words [languages]string

//go:noinline
func (l lang) say(m message) string { return m[l] }

// sayf is a message with its numbers and names.
//
//go:noinline
func (l lang) sayf(m message, args ...any) string {
	if len(args) == 0 {
		return m[l]
	}
	return fmt.Sprintf(m[l], args...)
}

// plural is a message for one and one for any other number; in all three
// languages that is how it goes.
type plural struct{ one, many message }

func (l lang) count(p plural, n int) string {
	if n == 1 {
		return l.sayf(p.one, n)
	}
	return l.sayf(p.many, n)
}

func languageOf(tag string) (lang, bool) {
	tag, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
	for l, t := range languageTags {
		if t == tag {
			return lang(l), true
		}
	}
	return english, false
}

// languageCookie keeps the choice of a reader.
const languageCookie = "cloudy-language"

// preferred is what the reader chose, or what the browser asks for
// (Accept-Language, RFC 9110, section 12.5.4), or English.
func preferred(r *http.Request) lang {
	if c, err := r.Cookie(languageCookie); err == nil {
		if l, ok := languageOf(c.Value); ok {
			return l
		}
	}
	best, quality := english, 0.0
	for i, item := range strings.Split(r.Header.Get("Accept-Language"), ",") {
		if i == 20 {
			break
		}
		tag, params, _ := strings.Cut(item, ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				continue
			}
			q = f
		}
		if l, ok := languageOf(tag); ok && q > quality {
			best, quality = l, q
		}
	}
	return best
}

// decimal writes a number with the language's decimal mark.
func (l lang) decimal(f float64, digits int) string {
	s := strconv.FormatFloat(f, 'f', digits, 64)
	if l != english {
		s = strings.Replace(s, ".", ",", 1)
	}
	return s
}

// size writes a number of bytes in powers of 1000, as IEC 80000-13 names them.
func (l lang) size(n uint64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	f, i := float64(n), 0
	for f >= 999.5 && i < len(units)-1 {
		f, i = f/1000, i+1
	}
	digits := 0
	if i > 0 && f < 10 {
		digits = 1
	}
	return l.decimal(f, digits) + "\u00a0" + units[i]
}

// duration writes the two largest parts of a time: days and hours, or hours
// and minutes, or one of minutes and seconds.
func (l lang) duration(d time.Duration) string {
	d = max(d, 0)
	if d >= 24*time.Hour {
		d = d.Round(time.Hour)
	} else if d >= time.Hour {
		d = d.Round(time.Minute)
	}
	days, hours, minutes := int(d/(24*time.Hour)), int(d/time.Hour)%24, int(d/time.Minute)%60
	switch {
	case days > 0 && hours == 0:
		return l.count(mDays, days)
	case days > 0:
		return l.count(mDays, days) + " " + l.sayf(mHours, hours)
	case hours > 0 && minutes == 0:
		return l.sayf(mHours, hours)
	case hours > 0:
		return l.sayf(mHours, hours) + " " + l.sayf(mMinutes, minutes)
	case minutes > 0:
		return l.sayf(mMinutes, minutes)
	}
	return l.sayf(mSeconds, int(d/time.Second))
}

// latency writes a latency: "12 ms", "≈ 40 ms" for an estimate, "" for none.
func (l lang) latency(x Latency) string {
	if x.Time <= 0 {
		return ""
	}
	ms := float64(x.Time) / float64(time.Millisecond)
	digits := 0
	if ms < 10 {
		digits = 1
	}
	s := l.decimal(ms, digits) + "\u00a0ms"
	if x.Estimate {
		s = "≈\u00a0" + s
	}
	return s
}
