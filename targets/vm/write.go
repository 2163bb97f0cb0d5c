package vm

import (
	"context"
	"fmt"
	"slices"

	"cloudy/builder/disk/qcow2"
	"cloudy/builder/disk/vhdx"
	"cloudy/builder/disk/vmdk"
	"cloudy/targets"
	"cloudy/targets/machine"
)

// done is how a format says how far it is.
type done = func(n, total int64)

// formats are the files that are made of the disk.
func formats(r *targets.Request, names []string) []machine.Format {
	id := r.ID("vm disk")
	shared := &vmdkFile{name: r.BaseName + ".vmdk", ready: make(chan struct{})}
	all := map[string]machine.Format{
		Raw: {Usage: qemuUsage(r, Raw)},
		QCOW2: {Usage: qemuUsage(r, QCOW2), Make: func(ctx context.Context, out *targets.Output, raw *machine.Raw, d done) error {
			return qcow2.Write(ctx, out, raw.File, qcow2.Options{Progress: d})
		}},
		VMDK: {
			Usage: fmt.Sprintf("VMware: vmkfstools -i %s.vmdk node.vmdk; VirtualBox: attach %[1]s.vmdk to a machine", r.BaseName),
			Make: func(ctx context.Context, out *targets.Output, raw *machine.Raw, d done) error {
				return shared.write(ctx, out, raw, id, d)
			},
		},
		VHDX: {
			Usage: fmt.Sprintf("Hyper-V: New-VM -Generation 2 -VHDPath %s.vhdx", r.BaseName),
			Make: func(ctx context.Context, out *targets.Output, raw *machine.Raw, d done) error {
				n, err := vhdx.Write(ctx, out, raw.File, vhdx.Options{ID: id, Progress: d})
				if err != nil {
					return err
				}
				return out.Truncate(n)
			},
		},
		OVA: {
			Usage: fmt.Sprintf("VBoxManage import %s.ova; VMware: ovftool %[1]s.ova, or Deploy OVF Template", r.BaseName),
			Make: func(ctx context.Context, out *targets.Output, raw *machine.Raw, d done) error {
				return writeOVA(ctx, out, raw, r, shared, !slices.Contains(names, VMDK), d)
			},
		},
	}
	var list []machine.Format
	for _, name := range names {
		f := all[name]
		f.Name, f.Suffix, f.MediaType = name, "."+name, "application/vnd.cloudy.disk."+name
		list = append(list, f)
	}
	return list
}

// qemuUsage is the line that boots an image in QEMU.
func qemuUsage(r *targets.Request, format string) string {
	name := r.BaseName + "." + format
	if r.Arch == "arm64" {
		return fmt.Sprintf("qemu-system-aarch64 -M virt -cpu cortex-a72 -m 1G -nographic -bios QEMU_EFI.fd -drive file=%s,format=%s,if=virtio", name, format)
	}
	return fmt.Sprintf("qemu-system-x86_64 -accel kvm -accel tcg -m 1G -nographic -drive file=%s,format=%s,if=virtio", name, format)
}

// vmdkFile is the disk as vmdk, for itself and within the appliance.
type vmdkFile struct {
	name  string
	ready chan struct{} // closed when file and sum are there
	file  *targets.Output
	sum   string
}

func (v *vmdkFile) write(ctx context.Context, out *targets.Output, raw *machine.Raw, id [16]byte, d done) error {
	err := vmdk.Write(ctx, out, raw.File, vmdk.Options{Name: v.name, ID: id, Progress: d})
	if err != nil {
		return err
	}
	if v.sum, err = out.Hash(ctx); err != nil {
		return err
	}
	v.file = out
	close(v.ready)
	return nil
}
