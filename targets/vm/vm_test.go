package vm

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"cloudy/builder/disk/gpt"
	"cloudy/builder/tree"
	"cloudy/targets/internal/targettest"
)

// root has what the target looks at, and boots by UEFI alone.
func root() *tree.Tree {
	return targettest.Debian(map[string]string{
		"usr/lib/shim/shimx64.efi.signed": "shim", "usr/lib/shim/mmx64.efi.signed": "mok",
		"usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed": "grub", "boot/initrd.img-6": "initrd",
	})
}

func TestFormats(t *testing.T) {
	targettest.Need(t, "qemu-img", "qemu-utils")
	files := targettest.Build(t, Target{}, root(), Options{Formats: append(Formats(), Raw), Boot: []string{"uefi"}, Headroom: 64 << 20})
	if len(files) != 5 {
		t.Fatalf("artefacts %v", files)
	}
	raw := files["node-amd64-x.raw"]
	for _, f := range []string{QCOW2, VMDK, VHDX} {
		name := files["node-amd64-x."+f]
		if out := targettest.Run(t, "qemu-img", "check", "-f", f, name); !strings.Contains(out, "No errors") {
			t.Errorf("%s: %s", f, out)
		}
		targettest.Run(t, "qemu-img", "compare", "-f", "raw", "-F", f, raw, name)
	}
	f, err := os.Open(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gpt.Read(f, info.Size()); err != nil {
		t.Error(err)
	}
	checkOVA(t, files["node-amd64-x.ova"], files["node-amd64-x.vmdk"], info.Size())
}

// envelope is what of an OVF description must fit together.
type envelope struct {
	XMLName xml.Name
	File    struct {
		ID   string `xml:"id,attr"`
		Href string `xml:"href,attr"`
		Size int64  `xml:"size,attr"`
	} `xml:"References>File"`
	Disk struct {
		ID       string `xml:"diskId,attr"`
		Ref      string `xml:"fileRef,attr"`
		Capacity int64  `xml:"capacity,attr"`
		Units    string `xml:"capacityAllocationUnits,attr"`
		Format   string `xml:"format,attr"`
	} `xml:"DiskSection>Disk"`
	Network struct {
		Name string `xml:"name,attr"`
	} `xml:"NetworkSection>Network"`
	Items []struct {
		ID         int    `xml:"InstanceID"`
		Type       int    `xml:"ResourceType"`
		SubType    string `xml:"ResourceSubType"`
		Parent     int    `xml:"Parent"`
		Host       string `xml:"HostResource"`
		Connection string `xml:"Connection"`
		Inner      string `xml:",innerxml"`
	} `xml:"VirtualSystem>VirtualHardwareSection>Item"`
}

// checkOVA takes the appliance apart: names and order, the manifest's digests,
// what the description says of its parts.
func checkOVA(t *testing.T, name, vmdk string, diskSize int64) {
	t.Helper()
	disk, err := os.ReadFile(vmdk)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var names []string
	parts := map[string][]byte{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Format&tar.FormatUSTAR == 0 || h.Uid != 0 || !h.ModTime.Equal(targettest.Epoch) {
			t.Errorf("header %+v", h)
		}
		names = append(names, h.Name)
		if parts[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	const base = "node-amd64-x"
	if got := fmt.Sprint(names); got != fmt.Sprintf("[%s.ovf %[1]s.mf %[1]s.vmdk]", base) {
		t.Fatalf("entries %s", got)
	}
	if !bytes.Equal(parts[base+".vmdk"], disk) {
		t.Error("the disk inside is another one")
	}
	want := fmt.Sprintf("SHA256(%s.ovf)= %x\nSHA256(%s.vmdk)= %x\n", base, sha256.Sum256(parts[base+".ovf"]), base, sha256.Sum256(disk))
	if got := string(parts[base+".mf"]); got != want {
		t.Errorf("manifest %q, want %q", got, want)
	}
	var e envelope
	if err := xml.Unmarshal(parts[base+".ovf"], &e); err != nil {
		t.Fatal(err)
	}
	if e.XMLName.Space != "http://schemas.dmtf.org/ovf/envelope/1" || e.File.Href != base+".vmdk" || e.File.Size != int64(len(disk)) ||
		e.Disk.Ref != e.File.ID || e.Disk.Capacity != diskSize || e.Disk.Units != "byte" || !strings.HasSuffix(e.Disk.Format, "#streamOptimized") {
		t.Errorf("description %+v", e)
	}
	types, ids := map[int]int{}, map[int]bool{}
	for _, item := range e.Items {
		if ids[item.ID] {
			t.Errorf("two items are called %d", item.ID)
		}
		ids[item.ID] = true
		types[item.Type] = item.ID
		if item.Type == 17 && (item.Host != "ovf:/disk/"+e.Disk.ID || item.Parent != types[20]) {
			t.Errorf("disk %+v", item)
		}
		if item.Type == 10 && (item.Connection != e.Network.Name || item.SubType != "VmxNet3") {
			t.Errorf("network card %+v", item)
		}
		sorted(t, item.Inner)
	}
	for _, kind := range []int{3, 4, 10, 17, 20} {
		if types[kind] == 0 {
			t.Errorf("no item of type %d", kind)
		}
	}
}

// sorted holds the rule of the schema that importers insist on: the elements
// of an item stand in the order of their names.
func sorted(t *testing.T, inner string) {
	t.Helper()
	last := ""
	for d := xml.NewDecoder(strings.NewReader(inner)); ; {
		tok, err := d.Token()
		if err != nil {
			return
		}
		if s, ok := tok.(xml.StartElement); ok {
			if s.Name.Local < last {
				t.Errorf("%s stands behind %s", s.Name.Local, last)
			}
			last = s.Name.Local
		}
	}
}

// TestCard: an appliance has the card that the kernel drives.
func TestCard(t *testing.T) {
	if got := networkCard(targettest.Debian(map[string]string{"usr/lib/modules/6/kernel/e1000.ko.xz": ""})); got != "E1000" {
		t.Errorf("card %s", got)
	}
}

// TestApplianceAlone: its disk is no artefact then, and nothing of it stays.
func TestApplianceAlone(t *testing.T) {
	targettest.Build(t, Target{}, root(), Options{Formats: []string{OVA}, Boot: []string{"uefi"}})
}

func TestErrors(t *testing.T) {
	targettest.Refused(t, Target{}, root(), Options{Formats: []string{"vdi"}}, `unknown format "vdi"`)
	targettest.Refused(t, Target{}, root(), Options{Boot: []string{"coreboot"}}, "coreboot")
	targettest.Refused(t, Target{}, targettest.Tree(nil), Options{}, "no kernel")
	targettest.Cancelled(t, Target{}, root(), Options{Boot: []string{"uefi"}, Formats: Formats()})
	for _, o := range []Options{{Formats: []string{OVA}}, {Boot: []string{"bios"}}} {
		if err := (Target{}).Validate("arm64", o); err == nil {
			t.Errorf("%+v is taken for arm64", o)
		}
	}
	if err := (Target{}).Validate("arm64", nil); err != nil {
		t.Error(err)
	}
}

func TestFullDisk(t *testing.T) {
	targettest.Full(t, Target{}, root(), Options{Boot: []string{"uefi"}, Formats: Formats()})
}
