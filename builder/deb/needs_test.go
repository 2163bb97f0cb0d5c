package deb

import (
	"slices"
	"strings"
	"testing"
)

func TestNeeds(t *testing.T) {
	set := []*Package{
		0: {Name: "app", Version: "1", Architecture: "armhf", PreDepends: "pre", Depends: "lib (>= 2), tool, missing | data, virt, interp:any"},
		1: {Name: "lib", Version: "2", Architecture: "amd64", MultiArch: "same"},
		2: {Name: "lib", Version: "2", Architecture: "armhf", MultiArch: "same"},
		3: {Name: "tool", Version: "1", Architecture: "amd64", MultiArch: "foreign", Depends: "lib"},
		4: {Name: "pre", Version: "1", Architecture: "armhf"},
		5: {Name: "data", Version: "1", Architecture: "all", MultiArch: "foreign"},
		// Of those that provide it, one is of the wrong architecture.
		6: {Name: "one", Version: "1", Architecture: "amd64", Provides: "virt"},
		7: {Name: "two", Version: "1", Architecture: "armhf", Provides: "virt (= 3)"},
		8: {Name: "interp", Version: "1", Architecture: "amd64", MultiArch: "allowed"},
		9: {Name: "picky", Version: "1", Architecture: "armhf", Depends: "virt (>= 4), lib (>> 2), data, interp"},
		// all counts as the native architecture.
		10: {Name: "script", Version: "1", Architecture: "all", Depends: "lib, virt"},
		11: {Name: "circle", Version: "1", Architecture: "amd64", Depends: "round"},
		12: {Name: "round", Version: "1", Architecture: "amd64", Depends: "circle"},
	}
	n, err := NewNeeds(set, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		of      int
		preOnly bool
		want    []int
	}{
		{0, true, []int{4}},
		{0, false, []int{1, 2, 3, 4, 5, 7, 8}}, // 1 by the foreign tool
		{9, false, []int{5}},
		{10, false, []int{1, 6}},
		{11, false, []int{12}},
		{1, false, nil},
	} {
		got := map[int]bool{}
		if err := n.Closure(tc.of, tc.preOnly, got); err != nil {
			t.Fatal(err)
		}
		var list []int
		for i := range set {
			if got[i] {
				list = append(list, i)
			}
		}
		if !slices.Equal(list, tc.want) {
			t.Errorf("%s, %t: %v, want %v", set[tc.of], tc.preOnly, list, tc.want)
		}
	}
	bad := []*Package{{Name: "x", Version: "1", Depends: "a (b"}}
	n, err = NewNeeds(bad, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Closure(0, false, map[int]bool{}); err == nil || !strings.Contains(err.Error(), "x:") {
		t.Errorf("a field that cannot be read: %v", err)
	}
	if _, err := NewNeeds([]*Package{{Name: "x", Provides: "(("}}, "amd64"); err == nil {
		t.Error("Provides that cannot be read, and no error")
	}
}
