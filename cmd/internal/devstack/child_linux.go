package devstack

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// dieWithUs has a child sent sig when we die.
func dieWithUs(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }

// commandLine is the command line of a process; "" if there is none, or it has ended and
// nobody took notice.
func commandLine(pid int) string {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(string(raw), "\x00", " ")
}
