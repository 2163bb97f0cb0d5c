// Package deb reads what Debian's package format consists of: versions
// (deb-version(7)), deb822 paragraphs (deb822(5)), relations between packages
// (Debian Policy chapter 7), the stanzas of a Packages index, and .deb files
// themselves (deb(5)).
//
// All input is taken as hostile: readers give errors that name the place, and
// neither panic nor allocate more than the input justifies.
package deb
