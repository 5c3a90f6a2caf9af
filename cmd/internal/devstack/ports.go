package devstack

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/litemaas/litemaas/models"
)

// Port is a port that a server will listen on, and the flag that changes it.
type Port struct {
	Number int
	Flag   string
	For    string // whom
}

// CheckPorts is a Conflict that names each port that cannot be had, and its flag.
func CheckPorts(ports ...Port) error {
	var wrong []string
	for i, p := range ports {
		same := slices.IndexFunc(ports[:i], func(q Port) bool { return q.Number == p.Number })
		switch {
		case p.Number < 1 || p.Number > 65535:
			wrong = append(wrong, p.text("is none", "one from 1 to 65535"))
		case same >= 0:
			wrong = append(wrong, p.text("is also that of "+ports[same].Flag, "another"))
		default:
			if why := occupied(p.Number); why != "" {
				wrong = append(wrong, p.text(why, "another"))
			}
		}
	}
	if len(wrong) > 0 {
		return models.Errorf(models.Conflict, "%s", strings.Join(wrong, "\n"))
	}
	return nil
}

func (p Port) text(why, remedy string) string {
	return "port " + strconv.Itoa(p.Number) + ", for " + p.For + ", " + why + ": choose " + remedy + " with " + p.Flag
}

// occupied says why a port cannot be had; "" when it can. It asks for every address, because
// systems differ in whether a listener on one is in the way of another's.
func occupied(port int) string {
	for _, host := range []string{"127.0.0.1", "::1", ""} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		switch {
		case err == nil:
			_ = l.Close()
		case errors.Is(err, syscall.EADDRINUSE):
			return "is taken"
		case errors.Is(err, syscall.EACCES):
			return "needs more rights"
		}
	}
	return ""
}

// FreePort returns a port that nobody listens on right now.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, models.Wrap(models.Unavailable, err, "no free port")
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
