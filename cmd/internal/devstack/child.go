package devstack

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/litemaas/litemaas/models"
)

// child is a server that we started.
type child struct {
	name    string // for people
	cmd     *exec.Cmd
	stdin   io.Closer // open as long as we live; some servers end when it closes
	logFile string
	stop    []syscall.Signal
	exited  chan struct{} // closed when it has ended
}

// How to stop a server: each signal when the one before did not help within patience.
var (
	stopPostgres = []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} // fast shutdown, immediate shutdown
	stopTemporal = []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}
	stopAtOnce   = []syscall.Signal{syscall.SIGKILL} // what keeps nothing
)

const patience = 10 * time.Second

// start starts cmd in a process group of its own with its output in logFile, which begins
// anew. as is the user it runs as; nil: the same as we.
func start(name string, cmd *exec.Cmd, logFile string, as *syscall.Credential, stop []syscall.Signal) (*child, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, models.Wrap(models.Invalid, err, "%s has no log file", name)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, models.Wrap(models.Internal, err, "%s cannot be started", name)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: as}
	dieWithUs(cmd.SysProcAttr, stop[0])
	if err := launch(cmd); err != nil {
		return nil, models.Wrap(models.Unavailable, err, "%s cannot be started", name)
	}
	c := &child{name: name, cmd: cmd, stdin: stdin, logFile: logFile, stop: stop, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		close(c.exited)
	}()
	return c, nil
}

// Stop stops the server and waits for its end. Stopping twice is harmless.
func (c *child) Stop() {
	_ = c.stdin.Close()
	for _, sig := range c.stop {
		_ = c.cmd.Process.Signal(sig) // it may have ended by itself
		select {
		case <-c.exited:
			return
		case <-time.After(patience):
		}
	}
	<-c.exited
}

// Kill ends the server as a crash does.
func (c *child) Kill() {
	_ = c.cmd.Process.Kill() // it may have ended by itself
	<-c.exited
}

// Exited is closed when the server has ended; Failure then says so with the end of its log.
func (c *child) Exited() <-chan struct{} { return c.exited }

// Failure is Unavailable: the server ended and should not have.
func (c *child) Failure() error {
	return models.Errorf(models.Unavailable, "%s ended (%s); the end of %s:\n%s", c.name, c.cmd.ProcessState, c.logFile, tail(c.logFile))
}

// tail is the last lines of a file.
func tail(file string) string {
	const lines, most = 8, 4 << 10
	raw, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	raw = raw[max(0, len(raw)-most):]
	all := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return "  " + strings.Join(all[max(0, len(all)-lines):], "\n  ")
}

// launcher is where processes are started: one thread that lives as long as we do, because
// Linux takes the end of the thread that started a child for the death of its parent.
var launcher = sync.OnceValue(func() chan<- func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
})

func launch(cmd *exec.Cmd) error {
	started := make(chan error, 1)
	launcher() <- func() { started <- cmd.Start() }
	return <-started
}

// Attach runs cmd in our process group until it ends, and forwards signals to it; those that a
// terminal sends to all of the group it has already. Where the system can do that, it ends
// with us.
func Attach(cmd *exec.Cmd, signals <-chan os.Signal) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	dieWithUs(cmd.SysProcAttr, syscall.SIGTERM)
	if err := launch(cmd); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			return err
		case sig := <-signals:
			if (sig == syscall.SIGINT || sig == syscall.SIGQUIT) && inForeground() {
				continue
			}
			_ = cmd.Process.Signal(sig) // it may have ended by itself
		}
	}
}

// inForeground reports whether a terminal sends its signals to our process group.
func inForeground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// stopLeftover stops the process of a file that names it as Postgres's postmaster.pid does: its
// ID, and on the next line something that its command line holds, lest it is another by now.
// It reports whether there was one to stop.
func stopLeftover(pidFile string, stop []syscall.Signal) bool {
	raw, err := os.ReadFile(pidFile)
	if err != nil {
		return false
	}
	lines := strings.SplitN(string(raw), "\n", 3)
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 1 || len(lines) < 3 {
		return false
	}
	if !runs(pid, lines[1]) {
		if syscall.Kill(pid, 0) == nil { // Postgres would take the other process for itself
			_ = os.Remove(pidFile)
		}
		return false
	}
	for _, sig := range stop {
		_ = syscall.Kill(pid, sig) // it may have ended by itself
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if !runs(pid, lines[1]) {
				return true
			}
		}
	}
	return true
}

// runs reports whether pid is a living process with mark in its command line.
func runs(pid int, mark string) bool {
	return mark != "" && strings.Contains(commandLine(pid), mark)
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// flock locks a file that no other process has locked.
func flock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// lookPath finds a program on PATH, never in the current directory.
func lookPath(name string) (string, bool) {
	path, err := exec.LookPath(name)
	return path, err == nil && filepath.IsAbs(path)
}
