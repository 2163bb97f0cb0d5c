package page

import (
	"cmp"
	"net"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// kind is a type of service that the page knows more of than its name.
type kind struct {
	kind   string // as in DNS-SD
	name   string // what people call it
	scheme string // of the link that opens it, "" for none
	action message
	secret string // key of the TXT pair that a program asks for
}

// kinds are those of community networks, and the usual ones.
var kinds = []kind{
	{"_http._tcp", "Web", "http", mOpen, ""},
	{"_https._tcp", "Web (TLS)", "https", mOpen, ""},
	{"_tahoe-lafs._tcp", "Tahoe-LAFS", "", mJoinGrid, "furl"},
	{"_syncthing._tcp", "Syncthing", "", mConnectDevice, "node_id"},
	{"_peerstreamer._tcp", "PeerStreamer", "", mJoinVideo, ""},
	{"_ipfs._tcp", "IPFS", "", nil, ""},
	{"_proxy3._tcp", "Proxy", "", nil, ""},
	{"_snpservice._tcp", "SNPServices", "http", mOpen, ""},
	{"_dnsservice._tcp", "DNSServices", "", nil, ""},
	{"_owp._tcp", "OpenVZ Web Panel", "http", mOpen, ""},
	{"_webdav._tcp", "WebDAV", "http", mOpen, ""},
	{"_webdavs._tcp", "WebDAV (TLS)", "https", mOpen, ""},
	{"_ssh._tcp", "SSH", "ssh", mOpen, ""},
	{"_ftp._tcp", "FTP", "ftp", mOpen, ""},
	{"_rtsp._tcp", "RTSP", "rtsp", mWatch, ""},
	{"_sip._udp", "SIP", "", nil, ""},
	{"_etcd._tcp", "etcd", "", nil, ""},
	{"_serf._tcp", "Serf", "", nil, ""},
	{"_tincvpn._tcp", "tinc", "", nil, ""},
	{"_docker._tcp", "Docker", "http", mOpen, ""},
	{"_couchdb._tcp", "CouchDB", "http", mOpen, ""},
	{"_cloudy._tcp", "Cloudy", "https", mOpen, ""},
}

func kindOf(t string) *kind {
	for i := range kinds {
		if kinds[i].kind == t {
			return &kinds[i]
		}
	}
	return &kind{}
}

// typeName is what people call a type: "_chess._tcp" is "chess".
func typeName(t string) string {
	if k := kindOf(t); k.name != "" {
		return k.name
	}
	s, _, _ := strings.Cut(strings.TrimPrefix(t, "_"), ".")
	return s
}

// link is where a browser opens the service, or "".
func (o *Offer) link() string {
	k := kindOf(o.Type)
	host := cmp.Or(o.Address4, o.Address6)
	if k.scheme == "" || host == "" {
		return ""
	}
	u := url.URL{Scheme: k.scheme, Host: net.JoinHostPort(host, strconv.Itoa(o.Port)), Path: "/"}
	if k.scheme == "ssh" {
		u.Path = ""
	}
	// DNS-SD's key for it (RFC 6763's registry of TXT keys, "path").
	if p := o.TXT["path"]; strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "//") {
		u.Path = p
	}
	return u.String()
}

// filter is what of the catalogue is shown.
type filter struct {
	kind, words, host, address string
	port                       int
	latency                    int // at most, in milliseconds; 0: any
	page                       int
}

func newFilter(q url.Values) filter {
	get := func(k string) string { return strings.TrimSpace(q.Get(k)) }
	n := func(k string) int { i, _ := strconv.Atoi(get(k)); return max(i, 0) }
	return filter{kind: get("type"), words: get("q"), host: get("host"), address: get("address"), port: n("port"), latency: n("latency"), page: n("page")}
}

func (f filter) query() url.Values {
	q := url.Values{}
	set := func(k, v string) {
		if v != "" && v != "0" {
			q.Set(k, v)
		}
	}
	set("type", f.kind)
	set("q", f.words)
	set("host", f.host)
	set("address", f.address)
	set("port", strconv.Itoa(f.port))
	set("latency", strconv.Itoa(f.latency))
	set("page", strconv.Itoa(f.page))
	return q
}

// narrowed says whether more is set than the type.
func (f filter) narrowed() bool {
	return f.words != "" || f.host != "" || f.address != "" || f.port != 0 || f.latency != 0
}

// passes says whether the filter lets the offer through, its type aside.
func (f *filter) passes(o *Offer) bool {
	has := func(s, part string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(part)) }
	for _, w := range strings.Fields(f.words) {
		found := has(o.Name, w) || has(o.Host, w) || has(o.Type, w) || has(typeName(o.Type), w) || has(o.Address4, w) || has(o.Address6, w)
		for k, t := range o.TXT {
			found = found || has(k+"="+t, w)
		}
		if !found {
			return false
		}
	}
	switch {
	case f.host != "" && !has(o.Host, f.host) && !has(o.Node, f.host):
		return false
	case f.address != "" && !has(o.Address4, f.address) && !has(o.Address6, f.address):
		return false
	case f.port != 0 && f.port != o.Port:
		return false
	case f.latency != 0 && !o.Self && (o.Latency.Time <= 0 || o.Latency.Time.Milliseconds() >= int64(f.latency)):
		return false
	}
	return true
}

// perPage is how many services stand on one page.
const perPage = 60

func (v *view) catalogue() part {
	if !v.facts.Member {
		return group(v.heading(v.say(mCatalogue), ""), v.outside())
	}
	f := newFilter(v.r.URL.Query())
	all := v.node().Catalogue()
	return group(
		v.heading(v.say(mCatalogue), v.say(mCatalogueLead)),
		el(`nav id="types"`, attr("aria-label", v.lang.say(mTypes)), v.live("types", v.types(f, all))),
		v.filters(f, all),
		el(`div id="found"`, v.live("found", v.found(f, all))),
	)
}

// types are the tabs, each with the number of services that it shows.
func (v *view) types(f filter, all []Offer) part {
	count := map[string]int{}
	total := 0
	for i := range all {
		o := &all[i]
		if f.passes(o) {
			count[o.Type]++
			total++
		}
	}
	var list []string
	for t := range count {
		list = append(list, t)
	}
	if f.kind != "" && count[f.kind] == 0 {
		list = append(list, f.kind)
	}
	sort.SliceStable(list, func(i, j int) bool {
		return strings.ToLower(typeName(list[i])+"\x00"+list[i]) < strings.ToLower(typeName(list[j])+"\x00"+list[j])
	})
	tab := func(t, label string, n int) part {
		g := f
		g.kind, g.page = t, 0
		var current part
		if f.kind == t {
			current = attr("aria-current", "page")
		}
		return el("li", el("a", href(here("/services", g.query())), current, text(label+" "), el(`span class="count"`, text(strconv.Itoa(n)))))
	}
	var out pile
	out.add(tab("", v.lang.say(mAll), total))
	for _, t := range list {
		out.add(tab(t, typeName(t), count[t]))
	}
	return el(`ul class="tabs"`, out.part())
}

func (v *view) filters(f filter, all []Offer) part {
	hosts := map[string]bool{}
	for i := range all {
		hosts[all[i].Host] = true
	}
	var options pile
	var names []string
	for h := range hosts {
		names = append(names, h)
	}
	slices.Sort(names)
	for _, h := range names[:min(len(names), 200)] {
		options.add(el("option", attr("value", h)))
	}
	port := ""
	if f.port != 0 {
		port = strconv.Itoa(f.port)
	}
	return el(`form class="filters" method="get" action="/services" role="search"`, attr("aria-label", v.lang.say(mFilter)),
		when(f.kind != "", el(`input type="hidden" name="type"`, attr("value", f.kind))),
		el(`div class="fields"`,
			v.input("search", "q", mWords, "", attr("value", f.words)),
			v.input("text", "host", mHost, "", attr("value", f.host), attr("list", "hosts"), attr("autocomplete", "off")),
			v.input("text", "address", mAddress, "", attr("value", f.address), attr("autocomplete", "off")),
			v.input("number", "port", mPort, "", attr("value", port), attr("min", "1"), attr("max", "65535")),
			v.selection("latency", mQuality, strconv.Itoa(f.latency),
				choice{"0", v.lang.say(mAnyQuality)},
				choice{strconv.Itoa(goodLatency), v.lang.sayf(mGoodOnly, goodLatency)},
				choice{strconv.Itoa(fairLatency), v.lang.sayf(mFairOnly, fairLatency)}),
			el(`datalist id="hosts"`, options.part()),
			el(`div class="field field-go"`, el(`button class="primary"`, v.say(mFilterDo)),
				when(f.narrowed(), el(`a class="button quiet"`, href(here("/services", filter{kind: f.kind}.query())), v.say(mFilterNone))))))
}

func (v *view) found(f filter, all []Offer) part {
	var list []Offer
	for i := range all {
		if o := &all[i]; (f.kind == "" || o.Type == f.kind) && f.passes(o) {
			list = append(list, *o)
		}
	}
	if len(list) == 0 {
		cloud := "M6 15a4 4 0 0 1-.5-7.97 5.5 5.5 0 0 1 10.5 1.2A3.5 3.5 0 0 1 15.5 15z"
		if len(all) == 0 {
			return v.empty(cloud, mNothingOffered, mNothingOfferedWhat)
		}
		return v.empty(cloud, mNothingFound, mNothingFoundWhat, el("p", el(`a class="button" href="/services"`, v.say(mShowAll))))
	}
	sort.SliceStable(list, func(i, j int) bool {
		a, b := &list[i], &list[j]
		return offerOrder(a) < offerOrder(b)
	})
	pages := (len(list) + perPage - 1) / perPage
	at := min(f.page, pages-1)
	shown := list[at*perPage : min(len(list), (at+1)*perPage)]
	t := v.table(mCatalogue, mService, mHost, mAddress, mQuality, mAction)
	for i := range shown {
		v.offer(t, &shown[i])
	}
	var turn part
	if pages > 1 {
		turn = v.turn(f, at, pages)
	}
	return group(
		el(`p class="hint"`, text(v.lang.count(mFoundCount, len(list)))),
		t.part(), turn,
	)
}

// offerOrder sorts offers by type, name and host.
func offerOrder(o *Offer) string {
	return strings.ToLower(typeName(o.Type) + "\x00" + o.Name + "\x00" + o.Host)
}

func (v *view) offer(t *table, o *Offer) {
	k := kindOf(o.Type)
	about := group(el(`span class="type"`, text(typeName(o.Type))))
	keys := make([]string, 0, len(o.TXT))
	for t := range o.TXT {
		keys = append(keys, t)
	}
	slices.Sort(keys)
	var pairs pile
	for _, t := range keys {
		if t != k.secret && t != "path" {
			pairs.add(el(`span class="txt"`, text(t+"="+o.TXT[t])))
		}
	}
	var action part
	switch link := o.link(); {
	case link != "":
		action = el(`a class="button"`, href(link), attr("rel", "noreferrer"), v.say(k.action), el(`span class="unseen"`, text(" "+o.Name)))
	case k.secret != "" && o.TXT[k.secret] != "":
		action = el(`div class="give"`, v.say(k.action), el(`code class="copy"`, text(o.TXT[k.secret])))
	}
	q := v.latency(o.Latency)
	if o.Self {
		q = badge("self", v.say(mThisNode))
	} else if q == "" {
		q = el(`span class="hint"`, v.say(mUnknown))
	}
	t.row(
		el("div", el("strong", text(o.Name)), el(`div class="about"`, about, pairs.part())),
		el("a", href("/member?name="+url.QueryEscape(o.Node)), text(o.Host)),
		el("div", code(cmp.Or(o.Address4, o.Address6)), el(`div class="hint"`, v.sayf(mPortN, o.Port))),
		q, action)
}

// turn leads to the other pages of a long list.
func (v *view) turn(f filter, at, pages int) part {
	to := func(n int, m message, ok bool) part {
		if !ok {
			return ""
		}
		f.page = n
		return el(`a class="button"`, href(here("/services", f.query())), v.say(m))
	}
	return el(`nav class="turn"`, attr("aria-label", v.lang.say(mPages)),
		to(at-1, mPrevious, at > 0), el("span", v.sayf(mPageOf, at+1, pages)), to(at+1, mNext, at < pages-1))
}
