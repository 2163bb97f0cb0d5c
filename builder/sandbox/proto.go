package sandbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Builder and init speak over a stream socket pair: a length (4 bytes, big
// endian) that carries the file descriptors, then a message in JSON.

// message is a request to init, or its answer or report.
type message struct {
	ID    uint64      `json:"id,omitempty"` // the command it is about
	Kind  messageKind `json:"kind"`
	Setup *setup      `json:"setup,omitempty"`
	Run   *runRequest `json:"run,omitempty"`

	Status int    `json:"status,omitempty"` // kindExit: as wait(2) gives it
	Err    string `json:"err,omitempty"`    // kindFault
	Errno  int    `json:"errno,omitempty"`  // kindFault: the cause, when it was the kernel
	Is     string `json:"is,omitempty"`     // kindFault: the sentinel that it wraps, by its text
	Usage  usage  `json:"usage,omitzero"`   // kindExit
}

type messageKind string

const (
	kindSetup messageKind = "setup" // to init, first: files are the sources of the binds
	kindReady messageKind = "ready" // from init: setup is done
	kindRun   messageKind = "run"   // to init: files are stdio, ExtraFiles, sources of the binds
	kindTTY   messageKind = "tty"   // from init: the file is the terminal's master
	kindExit  messageKind = "exit"  // from init: the command ended
	kindKill  messageKind = "kill"  // to init: kill the command and all that it started
	kindClose messageKind = "close" // to init: kill all, clean up, exit
	kindFault messageKind = "fault" // from init: setup or a run failed
)

// usage is what a command and its waited-for children consumed.
type usage struct {
	User   time.Duration `json:"user,omitempty"`
	System time.Duration `json:"system,omitempty"`
	MaxRSS int64         `json:"maxrss,omitempty"` // KiB
}

// setup tells init what to make of itself.
type setup struct {
	Mode       Mode
	Dir        string
	Layers     []string
	Upper      string
	Work       string
	Network    bool
	Hostname   string
	Privileged bool
	Sync       bool
	Binds      []bindSpec

	Interpreters []Interpreter
}

// bindSpec is a Bind on the wire. With File the source is a descriptor sent
// along: a detached mount, or in ModePlain an open file.
type bindSpec struct {
	File     bool
	Data     []byte
	Mode     uint32
	Target   string
	ReadOnly bool
}

type runRequest struct {
	Args     []string
	Env      []string
	Dir      string
	Network  bool
	Hostname string
	TTY      bool
	Rows     uint16
	Cols     uint16
	Stdio    int // how many of the files become 0, 1, 2 ...
	Binds    []bindSpec
}

const maxMessage = 64 << 20

// wire sends and receives messages; send may be called from many goroutines.
type wire struct {
	mu   sync.Mutex
	conn *net.UnixConn
}

func newWire(f *os.File) (*wire, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("control socket: not a unix socket")
	}
	return &wire{conn: u}, nil
}

func (w *wire) close() error { return w.conn.Close() }

func (w *wire) send(m message, files ...*os.File) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(body) > maxMessage {
		return fmt.Errorf("a message of %d bytes is too long", len(body))
	}
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		oob = unix.UnixRights(fds...)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	head := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	n, _, err := w.conn.WriteMsgUnix(head, oob, nil)
	if err != nil {
		return err
	}
	_, err = w.conn.Write(append(head[n:], body...))
	return err
}

// recv returns the next message and its files, io.EOF at the end. It must not be called from two goroutines at once.
func (w *wire) recv() (message, []*os.File, error) {
	var m message
	head := make([]byte, 4)
	oob := make([]byte, unix.CmsgSpace(253*4)) // SCM_MAX_FD
	n, oobn, _, _, err := w.conn.ReadMsgUnix(head, oob)
	if err != nil {
		return m, nil, err
	}
	if n == 0 {
		return m, nil, io.EOF
	}
	files, err := rights(oob[:oobn])
	if err != nil {
		return m, nil, err
	}
	if _, err := io.ReadFull(w.conn, head[n:]); err != nil {
		closeAll(files)
		return m, nil, err
	}
	size := binary.BigEndian.Uint32(head)
	if size > maxMessage {
		closeAll(files)
		return m, nil, fmt.Errorf("a message of %d bytes is too long", size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(w.conn, body); err != nil {
		closeAll(files)
		return m, nil, err
	}
	if err := json.Unmarshal(body, &m); err != nil {
		closeAll(files)
		return m, nil, err
	}
	return m, files, nil
}

func rights(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			closeAll(files)
			return nil, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
