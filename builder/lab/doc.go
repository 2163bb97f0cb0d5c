// Package lab runs a small world of nodes on one machine: each node is a real
// systemd with tincd, Avahi and the agent, in namespaces of its own, out of
// one root that all share; sites are broadcast domains behind routers, and
// links between them delay and lose packets.
//
// One process, the keeper, holds all of it: it is process 1 of a process
// namespace, the nodes are its children, the routers' network namespaces are
// descriptors that it has open, and everything is mounted in mount namespaces
// of it and below it. When it ends, for whatever reason, the kernel ends all
// processes of the lab and with them every mount, interface and namespace.
// What is left is the lab's folder and its control groups, which Down removes.
package lab
