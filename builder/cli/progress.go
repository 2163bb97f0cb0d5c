package cli

import (
	"context"
)

// Progress returns a context whose work shows its progress as the flags say,
// and a function that ends the display. The verb calls it once, with the
// error that the work ended with:
//
//	ctx, end := a.Progress(ctx)
//	err := work(ctx)
//	end(err)
//	return err
func (a *App) Progress(ctx context.Context) (context.Context, func(error)) {
	return ctx, func(error) {}
}
