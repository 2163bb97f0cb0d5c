// Package integration holds the tests of whole builds: against mmdebstrap,
// for same bits everywhere, for incremental builds, and for all that can go
// wrong. They use the program as a user does, the real archive, and a kernel
// that gives namespaces; there is no code for others in here.
//
// CLOUDY_TEST_CACHE names a folder that keeps downloads between runs; without
// it every run downloads what it needs once. Tests that lack something of the
// machine are skipped, or fail when CLOUDY_REQUIRE_ALL is set.
package integration
