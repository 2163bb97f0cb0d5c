package compress

import "io"

// pool packs chunks side by side and writes them in order.
type pool struct {
	size  int
	buf   []byte        // the chunk that is being filled
	free  chan []byte   // chunks to be filled
	order chan chan job // packed chunks in the order of the stream
	work  chan job
	done  chan error // the writer's end
	err   error      // what ended the stream
	any   bool       // a chunk was sent
	shut  bool
}

// job is a chunk on its way.
type job struct {
	chunk, packed []byte
	err           error
	out           chan job
}

func startPool(w io.Writer, c codec, workers int) (*pool, error) {
	workers = max(workers, 1)
	p := &pool{
		size: c.chunk,
		// One more than the workers: it is filled while they pack.
		// And one for the empty chunk of an empty stream.
		free:  make(chan []byte, workers+2),
		order: make(chan chan job, workers+1),
		work:  make(chan job),
		done:  make(chan error, 1),
	}
	packers := make([]packer, workers)
	for i := range packers {
		var err error
		if packers[i], err = c.newJob(); err != nil {
			return nil, err
		}
	}
	for range workers + 1 {
		p.free <- nil // made when it is needed
	}
	spare := make(chan []byte, workers+1)
	for _, pack := range packers {
		go func() {
			for j := range p.work {
				var dst []byte
				select {
				case dst = <-spare:
				default:
				}
				j.packed, j.err = pack(dst[:0], j.chunk)
				j.out <- j
			}
		}()
	}
	var around frame
	if c.frame != nil {
		around = c.frame()
	}
	go p.write(w, around, spare)
	return p, nil
}

// write puts packed chunks out. After an error it goes on taking them, so
// that nobody waits for ever.
func (p *pool) write(w io.Writer, around frame, spare chan []byte) {
	_, failed := w.Write(around.head)
	for out := range p.order {
		j := <-out
		if failed == nil {
			failed = j.err
		}
		if failed == nil {
			_, failed = w.Write(j.packed)
		}
		if failed == nil && around.add != nil {
			failed = around.add(len(j.chunk), j.packed)
		}
		select {
		case spare <- j.packed:
		default:
		}
		p.free <- j.chunk[:0]
		if failed != nil {
			select {
			case p.done <- failed: // Write sees it early
			default:
			}
		}
	}
	if failed == nil && around.tail != nil {
		_, failed = w.Write(around.tail())
	}
	select {
	case p.done <- failed:
	default: // it has the error already
	}
	close(p.done)
}

// Write implements io.Writer. An error of the writer below may come late.
func (p *pool) Write(data []byte) (int, error) {
	n := 0
	for len(data) > 0 {
		if p.err != nil {
			return n, p.err
		}
		if p.shut {
			return n, io.ErrClosedPipe
		}
		if p.buf == nil {
			if p.buf = <-p.free; p.buf == nil {
				p.buf = make([]byte, 0, p.size)
			}
		}
		k := min(len(data), p.size-len(p.buf))
		p.buf = append(p.buf, data[:k]...)
		data, n = data[k:], n+k
		if len(p.buf) == p.size {
			p.send()
		}
	}
	return n, nil
}

func (p *pool) send() {
	select {
	case p.err = <-p.done:
		return
	default:
	}
	j := job{chunk: p.buf, out: make(chan job, 1)}
	p.buf, p.any = nil, true
	p.order <- j.out
	p.work <- j
}

// Close packs what is left and waits for everything to be written. Nothing at
// all becomes one empty frame, for an empty file is in none of the formats.
func (p *pool) Close() error {
	if p.shut {
		return p.err
	}
	p.shut = true
	if p.err == nil && (len(p.buf) > 0 || !p.any) {
		p.send()
	}
	close(p.work)
	close(p.order)
	for err := range p.done {
		if p.err == nil {
			p.err = err
		}
	}
	return p.err
}
