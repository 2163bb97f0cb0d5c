// Package xz decodes .xz and .lzma data, and encodes .xz. The decoder exists
// because unpacking packages is the largest single cost of an image build: the inner loop is written for
// speed (in assembly on amd64, see lzma_amd64.s; in tuned Go elsewhere or with
// the build tag purego) and hands its output to the consumer straight from the
// dictionary.
//
// Formats: "The .xz File Format" 1.2.1 (tukaani.org/xz/xz-file-format.txt) for
// the container, and "LZMA specification" of the public-domain LZMA SDK
// (lzma-specification.txt, DOC/lzma.txt) for LZMA itself.
//
// How the parts fit together:
//
//	Reader        streams, blocks, index, checks         reader.go, block.go, index.go
//	  lzma2       chunks of a block                      lzma2.go
//	    lzma      state, probabilities, dictionary       lzma.go
//	      decode  the loop over symbols                  decode_generic.go | lzma_amd64.s
//	  input       one window over the source             input.go
//
// The encoder is there for archives that only xz will do for: its matches are
// found by small tables that stay in the cache, not by chains, and its blocks
// can be made side by side.
//
//	Index         the stream around the blocks         stream.go
//	  Encoder     blocks and chunks, choice of matches encoder.go
//	    finder    earlier places with the same bytes   finder.go
//	    model     symbols and their probabilities      symbols.go
//	      rangeCoder                                   rangecoder.go
//
// Filters other than LZMA2 (delta and the branch converters) are answered with
// ErrUnsupported: no Debian package uses them.
package xz
