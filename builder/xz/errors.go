package xz

import "errors"

// What can be wrong with a stream. Errors of the source are passed on as they
// are; a source that ends too early gives io.ErrUnexpectedEOF.
var (
	// ErrFormat means that the data does not begin like the format asked for.
	ErrFormat = errors.New("xz: not in the expected format")
	// ErrCorrupt means that the data contradicts itself.
	ErrCorrupt = errors.New("xz: corrupt data")
	// ErrCheck means that a CRC or SHA-256 does not match the data.
	ErrCheck = errors.New("xz: checksum mismatch")
	// ErrUnsupported means a filter, check or flag this package does not know.
	ErrUnsupported = errors.New("xz: unsupported feature")
	// ErrDict means that the data asks for a dictionary larger than MaxDict.
	ErrDict = errors.New("xz: dictionary too large")
	// ErrLimit means data that decodes to more than the caller allows.
	ErrLimit = errors.New("xz: decodes to more than allowed")
)
