package plan

import (
	"context"
	"encoding/json"
	"fmt"

	"cloudy/builder/lock"
	"cloudy/builder/recipe"
)

// resolving are the parts of an image that its packages depend on. The other
// parts may change without a new lock.
var resolving = []string{"archives", "packages", "unwanted", "recommends", "variant", "arch", "epoch"}

// Drift lists what makes a lock unfit for the recipe as it is now.
func Drift(l *lock.Image, inputs map[string]string) []string {
	pick := func(in map[string]string) map[string]string {
		out := map[string]string{}
		for _, name := range resolving {
			if d, ok := in[name]; ok {
				out[name] = d
			}
		}
		return out
	}
	was := lock.Image{Inputs: pick(l.Inputs)}
	return was.Drift(pick(inputs))
}

// remembered is what the store keeps of a resolution, so that the same
// question to the same archives is answered at once.
type remembered struct {
	Question string `json:"question"`
	Lock     string `json:"lock"` // a lock file with one image
}

// Fresh resolves an image for a build without a lock file. While archives and
// recipe stay as they are it gives the lock that it gave before; when the
// recipe only asks for more, that lock is extended, so that the layers it
// stands for serve again.
func (e *Engine) Fresh(ctx context.Context, img *recipe.Image, inputs map[string]string) (*lock.Image, error) {
	ix, err := e.update(ctx, img)
	if err != nil {
		return nil, err
	}
	var parts []string
	for _, s := range ix.Suites {
		parts = append(parts, s.Source.Name, s.Name, string(s.Digest))
	}
	for _, name := range resolving {
		parts = append(parts, name, inputs[name])
	}
	if e.Epoch != nil {
		parts = append(parts, fmt.Sprint(*e.Epoch))
	}
	question := digest(parts)
	ref, key := "lock/"+img.Name+"/"+img.Arch, lock.Key(img.Name, img.Arch)
	var known remembered
	var old *lock.Image
	if data, err := e.Store.Ref(ref); err == nil && json.Unmarshal(data, &known) == nil {
		if f, err := lock.Parse([]byte(known.Lock)); err == nil {
			old = f.Images[key]
		}
	}
	if old != nil && known.Question == question {
		old.Inputs = inputs
		return old, nil
	}
	fresh, err := e.pin(ctx, img, ix, PinOptions{Epoch: e.Epoch})
	if err != nil {
		return nil, err
	}
	fresh.Inputs = inputs
	fresh = lock.Extend(old, fresh)
	text, err := (&lock.File{Images: map[string]*lock.Image{key: fresh}}).Marshal()
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(remembered{question, string(text)})
	if err != nil {
		return nil, err
	}
	return fresh, e.Store.PutRef(ref, data)
}
