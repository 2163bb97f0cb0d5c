package machine

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"cloudy/builder/disk/bmap"
	"cloudy/targets"
	"cloudy/targets/compress"
)

// Packings are the formats that are a packed raw disk.
func Packings() map[string]compress.Format {
	return map[string]compress.Format{"raw.zst": compress.Zstd, "raw.xz": compress.XZ, "raw.gz": compress.Gzip}
}

const rawMediaType = "application/vnd.cloudy.disk.raw"

// FlashFormats are the files of a disk that is to be written to a medium
// ("raw", and Packings), and its block map. base is their name without a suffix.
func FlashFormats(base string, names []string) []Format {
	var list []Format
	for _, name := range names {
		f := Format{
			Name: name, Suffix: "." + name, MediaType: rawMediaType,
			Usage: fmt.Sprintf("cloudy flash %s.%s /dev/sdX", base, name),
		}
		if c, ok := Packings()[name]; ok {
			f.MediaType += c.MediaTypeSuffix()
			f.Make = func(ctx context.Context, out *targets.Output, raw *Raw, done func(n, total int64)) error {
				return pack(ctx, out, raw, c, done)
			}
		}
		list = append(list, f)
	}
	return append(list, Format{
		Name: "bmap", Suffix: ".bmap", MediaType: "application/vnd.cloudy.bmap+xml",
		Usage: fmt.Sprintf("%s.bmap says which blocks of the disk image have to be written", base),
		Make: func(ctx context.Context, out *targets.Output, raw *Raw, done func(n, total int64)) error {
			m, err := bmap.Of(ctx, raw.File, raw.Zeros, done)
			if err != nil {
				return err
			}
			w := bufio.NewWriter(out)
			if err := m.Write(w); err != nil {
				return err
			}
			return w.Flush()
		},
	})
}

// pack compresses the disk on all cores, in pieces that can be unpacked side
// by side.
func pack(ctx context.Context, out io.Writer, raw *Raw, c compress.Format, done func(n, total int64)) error {
	info, err := raw.Stat()
	if err != nil {
		return err
	}
	var w io.WriteCloser
	if c == compress.Zstd {
		w, err = compress.NewSeekable(out)
	} else {
		w, err = compress.NewWriter(out, c)
	}
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for at := int64(0); at < info.Size() && err == nil; {
		if err = ctx.Err(); err != nil {
			break
		}
		n := min(int64(len(buf)), info.Size()-at)
		if _, err = raw.ReadAt(buf[:n], at); err == nil {
			_, err = w.Write(buf[:n])
		}
		done(n, info.Size())
		at += n
	}
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return err
}
