package main

import (
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// nodeEnv is NODE_ENV's value as ours.
func nodeEnv(text string) (string, bool) {
	if text == "test" {
		return "development", true
	}
	return text, text == "development" || text == "production"
}

// pinoLevel is one of LiteMaaS's log levels as ours.
func pinoLevel(text string) (string, bool) {
	switch text = strings.ToLower(text); text {
	case "trace":
		return "debug", true
	case "fatal", "silent":
		return "error", true
	}
	return text, slices.Contains([]string{"debug", "info", "warn", "error"}, text)
}

// unit reads a bare number that counts units.
func unit(suffix, name string) *reading {
	return &reading{func(text string) (string, bool) {
		_, err := strconv.ParseUint(text, 10, 32)
		return text + suffix, err == nil
	}, "a number of " + name}
}

// listenHost is HOST, where it says where to listen.
func listenHost(host string) string {
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" {
		return host
	}
	return ""
}

// withHost is PORT as an address, at HOST if that is given.
func withHost(port string) (string, bool) {
	return net.JoinHostPort(listenHost(os.Getenv("HOST")), port), isPort(port)
}

// onHost is HOST alone.
func onHost(host string) (string, bool) {
	if host = listenHost(host); host == "" {
		return "", true
	}
	return net.JoinHostPort(host, "8081"), true
}

// withWindow is RATE_LIMIT_MAX as a rate, in RATE_LIMIT_TIME_WINDOW if that is given.
func withWindow(requests string) (string, bool) {
	window := os.Getenv("RATE_LIMIT_TIME_WINDOW")
	if window == "" {
		return requests + "/1m", isCount(requests)
	}
	per, ok := jsDuration(window)
	return requests + "/" + per, ok && isCount(requests)
}

// withMax is RATE_LIMIT_TIME_WINDOW alone.
func withMax(window string) (string, bool) {
	per, ok := jsDuration(window)
	return "100/" + per, ok
}

// perMinute reads a number of requests in a minute.
var perMinute = &reading{func(text string) (string, bool) { return text + "/1m", isCount(text) }, "a number of requests in a minute"}

func isCount(text string) bool {
	_, err := strconv.ParseUint(text, 10, 32)
	return err == nil
}

// jsLength is a length of time as LiteMaaS takes it: 60000, 1m, 5 minutes.
var jsLength = regexp.MustCompile(`^(\d+) ?(ms|s|m|h|sec|min|hr|second|minute|hour)?s?$`)

// jsDuration is such a length of time as ours. A number alone is milliseconds.
func jsDuration(text string) (string, bool) {
	parts := jsLength.FindStringSubmatch(strings.TrimSpace(strings.ToLower(text)))
	if parts == nil {
		return "", false
	}
	unit := parts[2]
	if unit != "" && unit != "ms" {
		unit = unit[:1]
	}
	if unit == "" {
		unit = "ms"
	}
	return parts[1] + unit, true
}
