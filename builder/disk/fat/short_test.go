package fat

import (
	"bytes"
	"testing"
)

// TestShortNames: boot ROMs that know short names alone find what they look for.
func TestShortNames(t *testing.T) {
	n := newNames()
	for _, c := range []struct{ name, short string }{
		{"bootcode.bin", "BOOTCODEBIN"}, {"start4.elf", "START4  ELF"}, {"MLO", "MLO        "}, {"u-boot.img", "U-BOOT  IMG"},
		{"Config.txt", "CONFIG  TXT"}, {"EFI", "EFI        "}, {"overlays", "OVERLAYS   "},
		{"bcm2711-rpi-4-b.dtb", "BCM271~1DTB"}, {"a b.txt", "AB~1    TXT"}, {"start4cd.elf", "START4CDELF"}, {"initrd.img-6.12", "INITRD~112 "},
	} {
		long, short, err := n.add(c.name)
		if err != nil || string(short[:]) != c.short {
			t.Errorf("%s is %q (%v), want %q", c.name, short, err, c.short)
		}
		if caps := bytes.ToUpper([]byte(c.name)); (len(long) == 0) != (string(caps) == c.name) {
			t.Errorf("%s has %d bytes of long name", c.name, len(long))
		}
	}
}
