package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cloudy/builder/fail"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// EnterOptions shape Enter. The zero value is for programs.
type EnterOptions struct {
	// Mode forces a mode instead of the best that this machine allows.
	Mode Mode
}

// enteredVar tells a process that was executed by Enter what it is now:
// "pid mode parent statusfd". Whoever inherits it has another pid.
const enteredVar = "CLOUDY_SANDBOX_ENTERED"

// Enter moves this program into a namespace where it may build; see the
// package's comment for the modes. It must be called before any other work,
// since the program starts over in there: with the same arguments,
// environment, directory and files, and with Enter returning at once.
//
// As real root the process is replaced. As an ordinary user a child goes on,
// while this process forwards signals to it and ends as it ends.
//
// The error is marked fail.Host and says what this machine lacks and what can
// be done about it.
func Enter(ctx context.Context, o EnterOptions) (*Sandbox, error) {
	if st, ok := enteredState(); ok {
		return &Sandbox{mode: st.mode, entered: true}, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	mode := o.Mode
	if mode == ModeAuto {
		mode = ModeUserNS
		if os.Geteuid() == 0 && hasCap(unix.CAP_SYS_ADMIN) {
			mode = ModeRoot
		}
	}
	switch mode {
	case ModeRoot:
		return nil, enterRoot()
	case ModePlain:
		return enterPlain()
	case ModeUserNS:
		err := enterUserNS(ctx)
		if o.Mode == ModeAuto && os.Geteuid() == 0 {
			if sb, perr := enterPlain(); perr == nil {
				return sb, nil
			}
		}
		return nil, err
	}
	return nil, fmt.Errorf("unknown sandbox mode %q", mode)
}

// entered is what enteredVar says.
type entered struct {
	mode   Mode
	parent int // 0 when this process is the one that the user started
	status int // where to say that it went well, or -1
}

func (e entered) String() string {
	return fmt.Sprintf("%d %s %d %d", os.Getpid(), e.mode, e.parent, e.status)
}

func enteredState() (entered, bool) {
	var e entered
	var pid int
	n, err := fmt.Sscanf(os.Getenv(enteredVar), "%d %s %d %d", &pid, &e.mode, &e.parent, &e.status)
	return e, err == nil && n == 4 && pid == os.Getpid()
}

func withVar(env []string, value string) []string {
	var out []string
	for _, kv := range env {
		if !strings.HasPrefix(kv, enteredVar+"=") {
			out = append(out, kv)
		}
	}
	return append(out, enteredVar+"="+value)
}

// enterRoot gives this process a mount namespace. Only a thread can have that
// made, so the thread executes the program again, which makes it the process.
func enterRoot() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fail.Mark(fail.Host, fmt.Errorf("make a mount namespace: %w", err))
	}
	// What the host unmounts goes away here too; what we mount stays here.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fail.Mark(fail.Host, fmt.Errorf("make mounts private: %w", err))
	}
	err := syscall.Exec("/proc/self/exe", os.Args, withVar(os.Environ(), entered{mode: ModeRoot, status: -1}.String()))
	return fmt.Errorf("execute this program again: %w", err)
}

func enterPlain() (*Sandbox, error) {
	if os.Geteuid() != 0 || !hasCap(unix.CAP_SYS_CHROOT) {
		return nil, fail.Mark(fail.Host, errors.New("changing the root directory needs root with CAP_SYS_CHROOT"))
	}
	return &Sandbox{mode: ModePlain}, nil
}

// enterUserNS runs this program again as the root of a user namespace. It
// returns only when that is not possible.
func enterUserNS(ctx context.Context) error {
	maps, err := newIDMaps()
	if err != nil {
		return err
	}
	// Whom the child's death signal watches is this thread.
	runtime.LockOSThread()
	// From before the child's start on, so that none is lost.
	caught := make(chan os.Signal, 16)
	signal.Notify(caught, forwarded...)
	child, status, err := startMapped(ctx, maps, os.Args, os.Stdout)
	if err == nil {
		err = hasArrived(child, status)
	}
	if err == nil {
		return follow(child, caught)
	}
	signal.Stop(caught)
	select {
	case sig := <-caught: // meant for us after all
		if sig, ok := sig.(syscall.Signal); ok && sig != unix.SIGWINCH {
			unix.Kill(os.Getpid(), sig)
		}
	default:
	}
	return err
}

// hasArrived waits for what the child says about its new namespace. With an error the child is gone.
func hasArrived(child *exec.Cmd, status *os.File) error {
	defer status.Close()
	said, err := io.ReadAll(status)
	if err == nil && string(said) == "ok" {
		return nil
	}
	child.Wait()
	if len(said) == 0 {
		said = []byte("the child process died")
	}
	return explainUserNS(fmt.Errorf("set up a user namespace: %s", said))
}

// startMapped starts this program with args as the root of a new user
// namespace with the given ids. Init in there writes "ok" or what is wrong to status.
func startMapped(ctx context.Context, maps idMaps, args []string, stdout io.Writer) (child *exec.Cmd, status *os.File, err error) {
	// Not close-on-exec and under the numbers that they have here, so that
	// whatever else this process was given keeps its numbers too.
	var goOn, stat [2]int
	if err := unix.Pipe(goOn[:]); err != nil {
		return nil, nil, err
	}
	if err := unix.Pipe(stat[:]); err != nil {
		unix.Close(goOn[0])
		unix.Close(goOn[1])
		return nil, nil, err
	}
	unix.CloseOnExec(goOn[1])
	unix.CloseOnExec(stat[0])
	start := os.NewFile(uintptr(goOn[1]), "start")
	defer start.Close()
	status = os.NewFile(uintptr(stat[0]), "status")
	child = &exec.Cmd{
		Path:  "/proc/self/exe",
		Args:  append([]string{stageEnter, strconv.Itoa(goOn[0]), strconv.Itoa(stat[1]), strconv.Itoa(os.Getpid())}, args...),
		Stdin: os.Stdin, Stdout: stdout, Stderr: os.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL},
	}
	err = child.Start()
	unix.Close(goOn[0])
	unix.Close(stat[1])
	if err != nil {
		status.Close()
		return nil, nil, explainUserNS(fmt.Errorf("make a user namespace: %w", err))
	}
	if err := maps.write(ctx, child.Process.Pid); err != nil {
		child.Process.Kill()
		child.Wait()
		status.Close()
		return nil, nil, err
	}
	start.Write([]byte{1})
	return child, status, nil
}

// enterMain is the child's first life: without rights, until its ids are
// mapped. Then executing the program makes it root of its namespace.
func enterMain() int {
	if len(os.Args) < 5 {
		return 1
	}
	start, err1 := strconv.Atoi(os.Args[1])
	status, err2 := strconv.Atoi(os.Args[2])
	parent, err3 := strconv.Atoi(os.Args[3])
	if errors.Join(err1, err2, err3) != nil {
		return 1
	}
	if n, err := unix.Read(start, make([]byte, 1)); n != 1 || err != nil {
		return 1 // the parent gave up
	}
	unix.Close(start)
	// Before the change of ids: after it, the file may be out of reach.
	err := syscall.Exec("/proc/self/exe", os.Args[4:], withVar(os.Environ(), entered{ModeUserNS, parent, status}.String()))
	fmt.Fprintln(os.NewFile(uintptr(status), "status"), "execute this program again:", err)
	return 1
}

// arrived is the first thing that the program does as the root of its new namespace.
func arrived(e entered) {
	if e.status < 0 {
		return
	}
	status := os.NewFile(uintptr(e.status), "status")
	defer status.Close()
	if err := settle(e); err != nil {
		fmt.Fprint(status, err)
		status.Close()
		os.Exit(1)
	}
	fmt.Fprint(status, "ok")
	os.Setenv(enteredVar, entered{e.mode, e.parent, -1}.String())
}

func settle(e entered) error {
	// The change of ids has cleared it.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("follow the parent's death: %w", err)
	}
	if os.Getppid() != e.parent {
		return errors.New("the parent died")
	}
	if err := syscall.Setresgid(0, 0, 0); err != nil {
		return fmt.Errorf("become group root: %w", err)
	}
	if err := syscall.Setresuid(0, 0, 0); err != nil {
		return fmt.Errorf("become root: %w", err)
	}
	// This is where a security module says no, when it lets namespaces be made but not used.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	return nil
}

// forwarded are the signals that are for the program and not for the process that waits for it.
var forwarded = []os.Signal{
	unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH,
}

// follow waits for child, forwards signals, and ends this process as the child ended.
func follow(child *exec.Cmd, caught <-chan os.Signal) error {
	go func() {
		for sig := range caught {
			if fromTerminal(sig) && foreground() {
				continue // the terminal has sent it to the child as well
			}
			child.Process.Signal(sig)
		}
	}()
	child.Wait()
	ws, ok := child.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		os.Exit(1)
	}
	if ws.Signaled() {
		signal.Reset()
		unix.Kill(os.Getpid(), ws.Signal())
		time.Sleep(100 * time.Millisecond) // for a signal that does not kill
		os.Exit(128 + int(ws.Signal()))
	}
	os.Exit(ws.ExitStatus())
	return nil
}

func fromTerminal(sig os.Signal) bool {
	return sig == unix.SIGINT || sig == unix.SIGQUIT || sig == unix.SIGWINCH || sig == unix.SIGHUP
}

// foreground says whether this process is in the foreground of a terminal.
func foreground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	if !term.IsTerminal(int(tty.Fd())) {
		return false
	}
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
