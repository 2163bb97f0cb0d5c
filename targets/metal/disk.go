package metal

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"cloudy/builder/disk/bmap"
	"cloudy/targets"
	"cloudy/targets/compress"
	"cloudy/targets/machine"
)

const mediaType = "application/vnd.cloudy.disk.raw"

// formats are the files that are made of the disk, and its block map.
func formats(r *targets.Request, names []string) []machine.Format {
	var list []machine.Format
	for _, name := range names {
		file := r.BaseName + "." + name
		f := machine.Format{
			Name: name, Suffix: "." + name, MediaType: mediaType,
			Usage: fmt.Sprintf("bmaptool copy --bmap %s.bmap %s /dev/sdX", r.BaseName, file),
		}
		if c, ok := compressions()[name]; ok {
			f.MediaType += c.MediaTypeSuffix()
			f.Make = func(ctx context.Context, out *targets.Output, raw *machine.Raw, done func(n, total int64)) error {
				return pack(ctx, out, raw, c, done)
			}
		}
		list = append(list, f)
	}
	return append(list, machine.Format{
		Name: "bmap", Suffix: ".bmap", MediaType: "application/vnd.cloudy.bmap+xml",
		Usage: fmt.Sprintf("%s.bmap says which blocks of the disk image have to be written", r.BaseName),
		Make: func(ctx context.Context, out *targets.Output, raw *machine.Raw, done func(n, total int64)) error {
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
func pack(ctx context.Context, out io.Writer, raw *machine.Raw, c compress.Format, done func(n, total int64)) error {
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
