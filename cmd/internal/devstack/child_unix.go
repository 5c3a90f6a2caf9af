//go:build unix && !linux

package devstack

import (
	"os/exec"
	"strconv"
	"syscall"
)

// dieWithUs does nothing where the system has no such service: what is left over is stopped by
// the next start.
func dieWithUs(*syscall.SysProcAttr, syscall.Signal) {}

// commandLine is the command line of a process; "" if there is none.
func commandLine(pid int) string {
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return ""
	}
	return string(out)
}
