package plan

import (
	"os"

	"cloudy/builder/store"
	"cloudy/builder/tree"
)

// scan is tree.Scan for layers of the store. What a layer shows does not
// change, so its listing is kept with it, and only the first build reads its
// folders. A listing that is missing or damaged is made again; one that cannot
// be kept costs the next build some time.
func scan(dirs []string) (*tree.Tree, error) {
	list := make([]*tree.Tree, len(dirs))
	for i, dir := range dirs {
		path := store.Beside(dir, "listing")
		if data, err := os.ReadFile(path); err == nil {
			if list[i], err = tree.ReadListing(data, dir); err == nil {
				continue
			}
		}
		var err error
		if list[i], err = tree.ScanLayer(dir); err != nil {
			return nil, err
		}
		_ = writeFile(path, list[i].Listing())
	}
	return tree.Union(list...), nil
}
