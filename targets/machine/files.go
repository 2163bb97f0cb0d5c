package machine

import "cloudy/builder/tree"

// file finds a regular file that package pkg brings.
func file(t *tree.Tree, name, pkg string) (*tree.Entry, error) {
	e, err := t.Lookup(name)
	if err != nil {
		return nil, err
	}
	if e == nil || e.Type != tree.File {
		return nil, errNoFile(name, pkg)
	}
	return e, nil
}
