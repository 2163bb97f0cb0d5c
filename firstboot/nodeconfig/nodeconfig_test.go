package nodeconfig

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRoundTrip(t *testing.T) {
	c := Config{
		Version: Version, HostName: "node1",
		Mesh: Mesh{Network: "guifi", Peers: []string{"10.1.2.3"}, TCPOnly: true},
		Services: []Service{{
			Name: "web", Enabled: true, Announce: &Announce{Type: "_http._tcp", Port: 80, TXT: map[string]string{"path": "/", "a": "b"}},
			Health: &Health{HTTP: "http://127.0.0.1/", Interval: Duration(30 * time.Second)},
		}},
	}.WithDefaults()
	data, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, c) {
		t.Errorf("got %+v\nwant %+v", got, c)
	}
	again, _ := got.Encode()
	if string(again) != string(data) {
		t.Errorf("encoding is not stable:\n%s\n%s", data, again)
	}
	if !strings.Contains(string(data), `"30s"`) {
		t.Errorf("durations are not text: %s", data)
	}
}

func many() string {
	var b strings.Builder
	for i := range MaxAnnounced + 1 {
		fmt.Fprintf(&b, `{"name":"s%d","announce":{"type":"_http._tcp","port":1}},`, i)
	}
	return b.String()
}

func TestParseRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"version":      {`{"version":2,"new":1}`, "unknown version"},
		"no version":   {`{}`, "unknown version"},
		"unknown":      {`{"version":1,"mseh":{}}`, "mseh"},
		"two":          {`{"version":1}{}`, "after top-level"},
		"host name":    {`{"version":1,"host_name":"a b"}`, "host_name"},
		"create":       {`{"version":1,"mesh":{"create":true}}`, "mesh.create"},
		"mode":         {`{"version":1,"mesh":{"mode":"hub"}}`, "mesh.mode"},
		"prefix":       {`{"version":1,"mesh":{"prefix4":"10.0.0.1/8"}}`, "prefix4"},
		"prefix6":      {`{"version":1,"mesh":{"prefix4":"fd00::/8"}}`, "prefix4"},
		"interface":    {`{"version":1,"mesh":{"interface":"a;reboot"}}`, "interface"},
		"port":         {`{"version":1,"mesh":{"tinc_port":70000}}`, "tinc_port"},
		"advertise":    {`{"version":1,"mesh":{"advertise":["x"]}}`, "advertise"},
		"service type": {`{"version":1,"services":[{"name":"a","announce":{"type":"http","port":1}}]}`, "announce.type"},
		"twice":        {`{"version":1,"services":[{"name":"a"},{"name":"a"}]}`, "twice"},
		"health":       {`{"version":1,"services":[{"name":"a","health":{}}]}`, "health"},
		"health port":  {`{"version":1,"services":[{"name":"a","health":{"tcp":70000}}]}`, "tcp"},
		"health url":   {`{"version":1,"services":[{"name":"a","health":{"http":"file:///etc"}}]}`, "http"},
		"health unit":  {`{"version":1,"services":[{"name":"a","health":{"unit":"--now"}}]}`, "unit"},
		"health time":  {`{"version":1,"services":[{"name":"a","health":{"tcp":1,"timeout":"-1s"}}]}`, "timeout"},
		"unit":         {`{"version":1,"services":[{"name":"a","units":["--root=/x"]}]}`, "units"},
		"txt key":      {`{"version":1,"services":[{"name":"a","announce":{"type":"_http._tcp","port":1,"txt":{"a=b":""}}}]}`, "txt"},
		"txt value":    {`{"version":1,"services":[{"name":"a","announce":{"type":"_http._tcp","port":1,"txt":{"a":"` + strings.Repeat("x", 300) + `"}}}]}`, "txt"},
		"too many":     {`{"version":1,"services":[` + strings.TrimSuffix(many(), ",") + `]}`, "more than 64"},
	} {
		_, err := Parse([]byte(tt.in))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
	if _, err := Parse([]byte(`{"version":2}`)); !errors.Is(err, ErrVersion) {
		t.Errorf("version 2: %v is not ErrVersion", err)
	}
}

func TestLoadMissing(t *testing.T) {
	c, err := Load(t.TempDir() + "/none.json")
	if err != nil || !reflect.DeepEqual(c, Default()) {
		t.Errorf("got %+v, %v", c, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version":1,"mesh":{"network":"guifi"}}`))
	f.Add([]byte(`{"version":1,"services":[{"name":"a","health":{"interval":"3s","tcp":1}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			return
		}
		out, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("%v reading back %s", err, out)
		}
		if back, _ := again.Encode(); string(back) != string(out) {
			t.Fatalf("not the same after reading back:\n%s\n%s", out, back)
		}
	})
}
