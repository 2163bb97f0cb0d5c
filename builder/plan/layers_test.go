package plan

import (
	"testing"

	"cloudy/builder/recipe"
)

func TestExclude(t *testing.T) {
	if exclude(nil) != nil {
		t.Error("rules out of nothing")
	}
	f := exclude([]recipe.PathRule{
		{Pattern: "/usr/share/doc/*"}, {Pattern: "/usr/share/doc/*/copyright", Include: true}, {Pattern: "/usr/share/doc/secret/*"},
	})
	for path, want := range map[string]bool{
		"usr/share/doc/bash/changelog.gz": true, "usr/share/doc/bash/copyright": false, "usr/share/doc/secret/copyright": true, "usr/bin/bash": false, "usr/share/doc": false,
	} {
		if f(path) != want {
			t.Errorf("%s: excluded %t", path, !want)
		}
	}
}

func TestSeeds(t *testing.T) {
	if got := seeds(&recipe.Image{}); len(got) != 0 {
		t.Errorf("seeds out of nothing: %q", got)
	}
	got := seeds(&recipe.Image{Initramfs: recipe.Initramfs{Modules: "list", Compress: "zstd", Include: []string{"virtio_net", "ext4"}}})
	want := map[string]string{
		"etc/initramfs-tools/conf.d/cloudy":          "# Made from the recipe's initramfs block.\nMODULES=list\nCOMPRESS=zstd\n",
		"usr/share/initramfs-tools/modules.d/cloudy": "virtio_net\next4\n",
	}
	for p, text := range want {
		if got[p] != text {
			t.Errorf("/%s: %q, want %q", p, got[p], text)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d seeds", len(got))
	}
}
