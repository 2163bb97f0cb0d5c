// Package fat writes FAT16 and FAT32 filesystems with long names from a
// tree, byte for byte the same for the same tree, and reads them. The format
// is that of Microsoft's "FAT: General Overview of On-Disk Format" 1.03 and
// of the UEFI Specification 2.10, section 13.3. FAT12 (under about 2 MiB) is
// not written.
package fat

import (
	"errors"
	"fmt"
	"time"
)

const (
	sector       = 512
	dirEntry     = 32
	fats         = 2
	rootEntries  = 512       // of FAT16, whose root directory has a fixed size
	minFAT32     = 33 << 20  // bytes; with clusters of 512 bytes this is the least that FAT32 can be
	maxFileSize  = 1<<32 - 1 // bytes; the size field has 32 bits
	maxSize      = (1<<32 - 1) * sector
	minClusters  = 4085 + 16 // below is FAT12; 16 keeps clear of drivers that are off by some
	fat32Cluster = 65525     // the least number of clusters of FAT32
	margin       = 16
)

// Errors that a caller can tell apart.
var (
	ErrFull    = errors.New("FAT filesystem is too small for its content")
	ErrName    = errors.New("name not possible on FAT")
	ErrInvalid = errors.New("not a FAT filesystem")
)

// Options say what the filesystem is like.
type Options struct {
	Size   int64     // bytes, a multiple of 512
	Label  string    // at most 11 characters of ASCII; empty is none
	Serial uint32    // the volume's serial number: blkid's UUID "XXXX-XXXX"
	Hidden uint32    // sectors before the filesystem on its disk
	Epoch  time.Time // no time is later than this; entries without a time get it
}

// UUID is the serial number as blkid and /etc/fstab write it.
func (o Options) UUID() string { return fmt.Sprintf("%04X-%04X", o.Serial>>16, o.Serial&0xffff) }

// Usage tells how full a filesystem is.
type Usage struct {
	Bits        int // 16 or 32
	ClusterSize int // bytes
	Clusters    int64
	Free        int64 // clusters
}

// geometry is where everything lies, in sectors unless named otherwise.
type geometry struct {
	bits       int
	total      int64
	perCluster int64
	reserved   int64
	fatSize    int64 // of one FAT
	rootSize   int64 // of FAT16's root directory
	clusters   int64
}

func (g geometry) rootStart() int64 { return g.reserved + fats*g.fatSize }
func (g geometry) dataStart() int64 { return g.rootStart() + g.rootSize }

// clusterAt is the offset of a cluster in bytes.
func (g geometry) clusterAt(c uint32) int64 {
	return (g.dataStart() + int64(c-2)*g.perCluster) * sector
}

func (g geometry) clusterSize() int64 { return g.perCluster * sector }

// need is the number of clusters that n bytes take.
func (g geometry) need(n int64) int64 { return (n + g.clusterSize() - 1) / g.clusterSize() }

// plan chooses the kind of FAT and the size of its clusters: FAT32 from
// 33 MiB on with the cluster sizes of mkfs.fat, FAT16 below.
func plan(size int64) (geometry, error) {
	if size%sector != 0 || size <= 0 || size > maxSize {
		return geometry{}, fmt.Errorf("FAT filesystem of %d bytes: not possible", size)
	}
	if size >= minFAT32 {
		per := int64(1)
		switch {
		case size > 32<<30:
			per = 64
		case size > 16<<30:
			per = 32
		case size > 8<<30:
			per = 16
		case size > 260<<20:
			per = 8
		}
		if g := layout(32, size/sector, per); g.clusters >= fat32Cluster+margin && g.clusters < 1<<28-margin {
			return g, nil
		}
		return geometry{}, fmt.Errorf("FAT filesystem of %d bytes: not possible", size)
	}
	for per := int64(1); per <= 64; per *= 2 {
		g := layout(16, size/sector, per)
		if g.clusters < minClusters {
			break
		}
		if g.clusters < fat32Cluster-margin {
			return g, nil
		}
	}
	return geometry{}, fmt.Errorf("FAT filesystem of %d bytes: too small", size)
}

// layout finds the smallest FAT that has an entry for each cluster which is
// left beside it.
func layout(bits int, total, per int64) geometry {
	g := geometry{bits: bits, total: total, perCluster: per, reserved: 32}
	if bits == 16 {
		g.reserved = 1
		g.rootSize = rootEntries * dirEntry / sector
	}
	for g.fatSize = 1; ; g.fatSize++ {
		g.clusters = (total - g.dataStart()) / per
		short := (g.clusters+2)*int64(bits)/8 - g.fatSize*sector
		if short <= 0 {
			return g
		}
		// Far from the end a step of one sector would take long; a growing FAT
		// makes the clusters fewer, so that this never goes too far.
		g.fatSize += short / sector / 2
	}
}

// dosTime encodes a time as FAT has it: from 1980, in steps of two seconds.
// It is UTC, as no time zone is the image's.
func dosTime(t time.Time) (date, clock uint16) {
	t = t.UTC()
	if t.Year() < 1980 {
		return 1<<5 | 1, 0
	}
	if t.Year() > 2107 {
		t = time.Date(2107, 12, 31, 23, 59, 58, 0, time.UTC)
	}
	return uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day()),
		uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
}

func fromDOS(date, clock uint16) time.Time {
	return time.Date(1980+int(date>>9), time.Month(date>>5&15), int(date&31),
		int(clock>>11), int(clock>>5&63), int(clock&31)*2, 0, time.UTC)
}
