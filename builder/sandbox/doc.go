// Package sandbox runs commands inside a root directory, on nothing but the
// kernel and our own binary: the pieces that must run inside a new namespace
// are this binary, executed again.
//
// A program that builds calls Init as the first thing in main and Enter at
// the start of each command that builds. Enter moves the program into a
// namespace of its own:
//
//	ModeRoot    real root (CAP_SYS_ADMIN): a private mount namespace, same process
//	ModeUserNS  an ordinary user: a user namespace with the whole subuid range, whose root the program is from then on
//	ModePlain   root in a container without CAP_SYS_ADMIN: nothing but chroot
//
// From there on the three differ only in what a session can give. A session
// (Open) is one set of namespaces over one root, kept alive by a small init
// process; commands run in it cheaply and at the same time.
//
//	sb, err := sandbox.Enter(ctx, sandbox.EnterOptions{})
//	sess, err := sb.Open(ctx, sandbox.Root{Dir: dir}, sandbox.Options{})
//	defer sess.Close()
//	err = sess.Run(ctx, sandbox.Command{Args: []string{"dpkg", "--configure", "-a"}})
//
// What a command finds: a clean environment; /proc, /sys (read-only), /dev
// and /tmp of its own; no network but a loopback device, unless it is asked
// for; no controlling terminal; fsync and its family answered with success
// by a seccomp filter; capabilities that maintainer scripts need and no more;
// no device nodes but those of /dev. Nothing is mounted on the host, and
// nothing is left in the tree: mount points that had to be made are removed
// again. When the session is closed, its context cancelled or the builder
// killed, all processes of the session die.
//
// It is a fence against accidents and leaks, for scripts of packages that the
// user chose to install. It is no wall against an attacker who is real root.
//
// In ModePlain there are no namespaces: no fresh /proc and /dev, the host's
// network and host name, files to be bound are put into the tree and taken
// away again, fsync costs what it costs. Left-over processes are found by
// ancestry.
package sandbox
