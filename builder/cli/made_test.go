package cli

import "testing"

func TestUsageAt(t *testing.T) {
	for _, tc := range []struct{ out, usage, want string }{
		{"out/", "cloudy flash n.raw.zst /dev/sdX", "cloudy flash out/n.raw.zst /dev/sdX"},
		{"out/", "qemu -drive file=n.raw,format=raw", "qemu -drive file=out/n.raw,format=raw"},
		{"out/", "x oci-archive:n.raw; y n.raw", "x oci-archive:out/n.raw; y out/n.raw"},
		{"out/", "lxc --fstree $PWD/n.raw.zst", "lxc --fstree $PWD/out/n.raw.zst"},
		{"/srv/", "lxc --fstree $PWD/n.raw.zst", "lxc --fstree /srv/n.raw.zst"},
		{"out/", "other/n.rawx -n NAME", "other/n.rawx -n NAME"},
	} {
		paths := map[string]string{"n.raw": tc.out + "n.raw", "n.raw.zst": tc.out + "n.raw.zst"}
		if got := usageAt(tc.usage, paths); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}
