//go:build !crashtest

package durable

// point is where a test may let the process die; see crash.go.
func point(string, string) {}
