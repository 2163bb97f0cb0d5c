// Package resolve chooses the packages of a new system as apt does.
//
// The rules are those of `apt-get install` on an empty system (apt's classic
// resolver, "internal", which Debian 12 and 13 use): candidates by pin, then
// version; alternatives in their order; providers of a virtual package in
// apt's order of preference; what conflicts with something protected is
// backed out; then a scored pass repairs what is broken, and what nothing
// needs any more is dropped. The rules were learnt from apt's behaviour and
// its documentation; the tests compare with apt itself. Where apt's resolver
// gives up, a complete search tries all alternatives before an error is
// reported (see search.go), as apt 3 does with its second solver.
//
// The package does no input or output: it works on a Universe of packages
// that the caller filled, and a Universe serves any number of Resolve calls,
// side by side too.
package resolve
