package vm

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"
	"text/template"

	"cloudy/builder/fail"
	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/machine"
)

// writeOVA writes an appliance: a tar archive of the description (OVF 1.1,
// DMTF DSP0243), the manifest with the digests, and the disk, in this order
// (section 5.1). The disk is the vmdk that the build makes anyway, or alone
// one for this.
func writeOVA(ctx context.Context, out *targets.Output, raw *machine.Raw, r *targets.Request, disk *vmdkFile, alone bool, d done) error {
	if alone {
		f, err := targets.Create(filepath.Join(r.OutDir, disk.name))
		if err != nil {
			return err
		}
		defer f.Discard()
		if err := disk.write(ctx, f, raw, r.ID("vm disk"), d); err != nil {
			return err
		}
	}
	select {
	case <-disk.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	info, err := disk.file.Stat()
	if err != nil {
		return err
	}
	rawInfo, err := raw.Stat()
	if err != nil {
		return err
	}
	if info.Size() >= 8<<30 {
		return fail.Mark(fail.User, fmt.Errorf("the disk takes %d bytes, and an ova has room for files below 8 GiB; use vmdk", info.Size()))
	}
	ovf, err := describe(r, disk.name, info.Size(), rawInfo.Size())
	if err != nil {
		return err
	}
	manifest := fmt.Sprintf("SHA256(%s.ovf)= %x\nSHA256(%s)= %s\n", r.BaseName, sha256.Sum256(ovf), disk.name, disk.sum)
	t := tar.NewWriter(out)
	for _, f := range []struct {
		name string
		size int64
		r    io.Reader
	}{
		{r.BaseName + ".ovf", int64(len(ovf)), bytes.NewReader(ovf)},
		{r.BaseName + ".mf", int64(len(manifest)), bytes.NewReader([]byte(manifest))},
		{disk.name, info.Size(), io.NewSectionReader(disk.file, 0, info.Size())},
	} {
		if err := t.WriteHeader(&tar.Header{Format: tar.FormatUSTAR, Typeflag: tar.TypeReg, Name: f.name, Size: f.size, Mode: 0o644, ModTime: r.Epoch}); err != nil {
			return err
		}
		if _, err := io.Copy(t, f.r); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return t.Close()
}

// networkCard is one that the root's kernel drives: Intel's, which every
// hypervisor emulates, where its driver is there. Debian's kernels for clouds
// lack it and have VMware's.
func networkCard(root *tree.Tree) string {
	for i := range root.Entries {
		if strings.HasPrefix(path.Base(root.Entries[i].Path), "e1000.ko") {
			return "E1000"
		}
	}
	return "VmxNet3"
}

// describe is the OVF description. The disk is on AHCI, which every hypervisor
// emulates and every kernel drives.
func describe(r *targets.Request, disk string, fileSize, diskSize int64) ([]byte, error) {
	var b bytes.Buffer
	err := ovf.Execute(&b, map[string]any{
		"Name": escape(r.Image), "Disk": escape(disk), "FileSize": fileSize, "DiskSize": diskSize, "Card": networkCard(r.Root),
	})
	return b.Bytes(), err
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes everything
	return b.String()
}

// Ids of the operating system are those of CIM_OperatingSystem (96: Debian,
// 64 bits), types of resources those of CIM_ResourceAllocationSettingData.
var ovf = template.Must(template.New("ovf").Parse(`<?xml version="1.0" encoding="UTF-8"?>
<Envelope ovf:version="1.0" xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References>
    <File ovf:id="file1" ovf:href="{{.Disk}}" ovf:size="{{.FileSize}}"/>
  </References>
  <DiskSection>
    <Info>The disk of the machine</Info>
    <Disk ovf:diskId="disk1" ovf:fileRef="file1" ovf:capacity="{{.DiskSize}}" ovf:capacityAllocationUnits="byte" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <NetworkSection>
    <Info>The networks that the machine is part of</Info>
    <Network ovf:name="bridged">
      <Description>The local network</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="{{.Name}}">
    <Info>A machine with Debian</Info>
    <Name>{{.Name}}</Name>
    <OperatingSystemSection ovf:id="96">
      <Info>The installed system</Info>
      <Description>Debian GNU/Linux (64-bit)</Description>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>What the machine needs</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{{.Name}}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-13 virtualbox-2.2</vssd:VirtualSystemType>
      </System>
      <Item>
        <rasd:Caption>2 processors</rasd:Caption>
        <rasd:ElementName>2 processors</rasd:ElementName>
        <rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>2</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>
        <rasd:Caption>1024 MiB of memory</rasd:Caption>
        <rasd:ElementName>1024 MiB of memory</rasd:ElementName>
        <rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>1024</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:Address>0</rasd:Address>
        <rasd:Caption>SATA controller</rasd:Caption>
        <rasd:ElementName>SATA controller</rasd:ElementName>
        <rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>AHCI</rasd:ResourceSubType>
        <rasd:ResourceType>20</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>0</rasd:AddressOnParent>
        <rasd:Caption>Disk</rasd:Caption>
        <rasd:ElementName>Disk</rasd:ElementName>
        <rasd:HostResource>ovf:/disk/disk1</rasd:HostResource>
        <rasd:InstanceID>4</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent>
        <rasd:ResourceType>17</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>
        <rasd:Caption>Network card</rasd:Caption>
        <rasd:Connection>bridged</rasd:Connection>
        <rasd:ElementName>Network card</rasd:ElementName>
        <rasd:InstanceID>5</rasd:InstanceID>
        <rasd:ResourceSubType>{{.Card}}</rasd:ResourceSubType>
        <rasd:ResourceType>10</rasd:ResourceType>
      </Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
`))
