package resolve

import "context"

// search tries all alternatives where apt's way fails; nil when there is no
// solution.
func (s *solver) search(ctx context.Context, req Request, wants []want) (*solver, error) {
	return nil, nil
}
