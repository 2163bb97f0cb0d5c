package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"cloudy/builder/fail"
	"cloudy/builder/report"
)

// openImage opens an image file, archive or folder that the user named.
func (a *App) openImage(ctx context.Context, path string) (*report.Opened, error) {
	img, err := report.Open(ctx, path, report.OpenOptions{Arch: a.Flags.Arch})
	switch {
	case err == nil || ctx.Err() != nil:
		return img, err
	case errors.Is(err, syscall.ENOSPC):
		return nil, fail.WithHint(fail.Host, err, "what is compressed has to be unpacked for reading; name a folder with room in TMPDIR")
	case errors.Is(err, fs.ErrPermission):
		return nil, fail.WithHint(fail.User, err, "this file is not readable for you")
	default:
		return nil, fail.Mark(fail.User, err)
	}
}

// openRoot opens an image and the root filesystem in it.
func (a *App) openRoot(ctx context.Context, path string) (*report.Opened, *report.Root, error) {
	img, err := a.openImage(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	root, err := img.Root()
	if err != nil {
		img.Close()
		return nil, nil, fail.WithHint(fail.User, err, fmt.Sprintf("%q says what is in it", "cloudy inspect "+path))
	}
	return img, root, nil
}
