//go:build !amd64 || purego

package xz

func (l *lzma) decode(outLimit, inLimit int) status { return l.decodeGeneric(outLimit, inLimit) }
