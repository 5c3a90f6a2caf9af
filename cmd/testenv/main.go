// Command testenv runs a command with what the tests need: a Postgres at TEST_DATABASE_URL and
// a Temporal server at TEST_TEMPORAL_ADDRESS. What is set already is used, the rest is started,
// on free ports, and stopped when the command ends. Its exit status is the command's. With -durable
// they keep what they were told when they are killed, and take the time for it.
//
//	go run ./cmd/testenv -- go test ./...
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/litemaas/litemaas/cmd/internal/devstack"
)

// Exit statuses that are not the command's.
const (
	exitUsage      = 2
	exitNoStart    = 125 // as env(1) has it
	exitBySignal   = 128 // and the signal's number
	exitNoServices = 1
)

func main() {
	durable := flag.Bool("durable", false, "keep what the servers are told when they are killed")
	usage := func() { fmt.Fprintln(os.Stderr, "usage: testenv [-durable] -- command [argument …]") }
	flag.Usage = usage
	flag.Parse()
	if flag.NArg() == 0 {
		usage()
		os.Exit(exitUsage)
	}
	os.Exit(run(flag.Args(), *durable, os.Stdout, os.Stderr))
}

// run runs a command in the environment and returns its exit status.
func run(args []string, durable bool, stdout, stderr io.Writer) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	begun := make(chan struct{})
	go func() { // until the command runs, a signal is for us
		select {
		case <-begun:
		case <-signals:
			cancel()
		}
	}()
	s, err := start(ctx, durable, stderr)
	if ctx.Err() != nil {
		if err == nil {
			s.stop()
		}
		return exitBySignal + int(syscall.SIGINT)
	}
	if err != nil {
		fmt.Fprintln(stderr, "testenv:", err)
		return exitNoServices
	}
	defer s.stop()
	close(begun)

	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, stdout, stderr
	cmd.Env = append(os.Environ(), s.env()...)
	return status(devstack.Attach(cmd, signals), stderr)
}

// status is how a command ended, as a shell would say it.
func status(err error, stderr io.Writer) int {
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return 0
	case !ok:
		fmt.Fprintln(stderr, "testenv:", err)
		return exitNoStart
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return exitBySignal + int(ws.Signal())
	}
	return exit.ExitCode()
}
