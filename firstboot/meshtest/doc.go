// Package meshtest holds the tests that need a small world: nodes in network
// namespaces of their own, in several broadcast domains, with the real tincd,
// dbus-daemon, avahi-daemon and cloudy-node.
package meshtest
