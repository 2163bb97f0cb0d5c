package recipe

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// Bounds of a lab: what its addresses have room for.
const (
	maxLabSites = 200
	maxLabNodes = 200 // of one site
)

// LabSchema returns the description of lab files: a block without a name
// whose Blocks are the top-level blocks.
func LabSchema() *Block {
	return &Block{
		Doc:    "One file is one lab.",
		Blocks: []*Block{labBlock(), siteBlock(), linkBlock(), labServiceBlock(), variableBlock(), localsBlock()},
	}
}

func labBlock() *Block {
	return &Block{
		Name: "lab", Label: "name of the lab, used by all commands",
		Doc:     "What holds for the whole lab. It stands once.",
		Example: "lab \"village\" {\n  network = \"guifi\"\n  founder = \"school-1\"\n}\n",
		Attrs: []Attr{
			{Name: "description", Type: stringType, Doc: "What the lab shows, in one line.", Example: `"Two villages and a hill between them."`},
			{Name: "image", Type: wordType, Default: `"lab"`, Doc: "Image of the recipe that all nodes run. It needs systemd and the packages tinc and avahi-daemon, no kernel.", Example: `"lab"`},
			{Name: "network", Type: checked("name", labName), Default: "the lab's name", Doc: "Name of the mesh that the nodes form.", Example: `"guifi"`},
			{Name: "founder", Type: stringType, Default: "the first node of the first site", Doc: "Node that founds the mesh and invites all others.", Example: `"school-1"`},
		},
		checkLabel: labName,
	}
}

func siteBlock() *Block {
	return &Block{
		Name: "site", Label: "name of the site",
		Doc: "A place: one broadcast domain with a router, and nodes named SITE-1, SITE-2 and so on. A site without nodes is a router alone.\n\n" +
			"`delay`, `loss` and `rate` are those of the line between each node and the site's switch, in each direction.",
		Example: "site \"school\" {\n  title    = \"The school\"\n  nodes    = 4\n  services = [service.web]\n}\n",
		Attrs: append([]Attr{
			{Name: "title", Type: stringType, Default: "the site's name", Doc: "Name for people.", Example: `"The school"`},
			{Name: "nodes", Type: intType(0, maxLabNodes), Default: "1", Doc: "How many nodes the site has.", Example: `4`},
			{Name: "memory", Type: sizeType, Default: "no limit", Doc: "Memory that each node may use, as if it were a small board.", Example: `"128MiB"`},
			{Name: "services", Type: listOf(refType("service")), Doc: "Services that each node of the site offers.", Example: `[service.web]`},
		}, pathAttrs()...),
		checkLabel: labName,
	}
}

func linkBlock() *Block {
	return &Block{
		Name: "link", Label: "name of the link",
		Doc: "A line between the routers of two sites. Packets go the way with the least delay; when a link is cut, the way that is left.\n\n" +
			"`delay`, `loss` and `rate` hold in each direction.",
		Example: "link \"valley\" {\n  between = [\"school\", \"hill\"]\n  delay   = \"5ms\"\n  loss    = \"1%\"\n  rate    = \"20mbit\"\n}\n",
		Attrs: append([]Attr{
			{Name: "between", Type: listOf(stringType), Required: true, Doc: "The two sites.", Example: `["school", "hill"]`},
		}, pathAttrs()...),
		checkLabel: labName,
	}
}

func pathAttrs() []Attr {
	return []Attr{
		{Name: "delay", Type: delayType, Default: "none", Doc: "Time that a packet is under way: half of what ping shows.", Example: `"15ms"`},
		{Name: "loss", Type: lossType, Default: "none", Doc: "Part of the packets that never arrive.", Example: `"0.5%"`},
		{Name: "rate", Type: rateType, Default: "no limit", Doc: "Bits per second: `kbit`, `mbit` or `gbit`. What is too much waits, up to a fifth of a second, and is lost then.", Example: `"20mbit"`},
	}
}

func labServiceBlock() *Block {
	return &Block{
		Name: "service", Label: "name of the service, used as `service.NAME`",
		Doc:     "A service that the image has and that nodes of the lab offer. It is announced while its port answers.",
		Example: "service \"web\" {\n  description = \"Page\"\n  type        = \"_http._tcp\"\n  port        = 80\n  units       = [\"lab-web.service\"]\n}\n",
		Attrs: []Attr{
			{Name: "description", Type: stringType, Default: "the service's name", Doc: "Name under which it is announced.", Example: `"Page"`},
			{Name: "type", Type: serviceTypeType, Required: true, Doc: "DNS-SD service type (RFC 6763).", Example: `"_http._tcp"`},
			{Name: "port", Type: intType(1, 65535), Required: true, Doc: "TCP port.", Example: `80`},
			{Name: "txt", Type: mapOf(stringType), Doc: "TXT record: keys and values.", Example: `{ path = "/" }`},
			{Name: "units", Type: listOf(unitType), Doc: "systemd units that the agent starts for it.", Example: `["lab-web.service"]`},
		},
		checkLabel: identifier,
	}
}

var labNamePattern = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// labName is the name of a lab, a site, a link or a mesh. Node names are
// made of it, which are host names.
func labName(s string) error {
	if !labNamePattern.MatchString(s) || len(s) > 32 {
		return fmt.Errorf("%q is no name; up to 32 small letters, digits and single - make one, a letter first", s)
	}
	return nil
}

var delayType = &Type{Name: "duration", parse: func(v cty.Value) (any, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > 10*time.Second {
		return nil, fmt.Errorf("%q is no delay; write it as \"15ms\", up to \"10s\"", s)
	}
	return d, nil
}}

var lossType = &Type{Name: "percentage", parse: func(v cty.Value) (any, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	digits, percent := strings.CutSuffix(s, "%")
	f, err := strconv.ParseFloat(digits, 64)
	if !percent || err != nil || !(f >= 0 && f < 100) {
		return nil, fmt.Errorf("%q is no loss; write it as \"0.5%%\", less than 100%%", s)
	}
	return f / 100, nil
}}

var rateType = &Type{Name: "rate", parse: func(v cty.Value) (any, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	return parseRate(s)
}}

// parseRate reads bits per second, with the units of tc(8).
func parseRate(s string) (int64, error) {
	bad := fmt.Errorf("%q is no rate; write it as \"512kbit\", \"20mbit\" or \"1gbit\"", s)
	for unit, factor := range map[string]float64{"kbit": 1e3, "mbit": 1e6, "gbit": 1e9} {
		digits, ok := strings.CutSuffix(strings.ToLower(s), unit)
		if !ok {
			continue
		}
		f, err := strconv.ParseFloat(digits, 64)
		if err != nil || !(f > 0) {
			return 0, bad
		}
		if n := f * factor; n < 8e3 || n > 100e9 {
			return 0, errors.New("need a rate from 8kbit to 100gbit")
		}
		return int64(f * factor), nil
	}
	return 0, bad
}
