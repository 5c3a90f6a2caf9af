package main

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/litemaas/litemaas/api/ratelimit"
	"github.com/litemaas/litemaas/models"
)

const (
	minute = time.Minute
	hour   = time.Hour
	day    = 24 * time.Hour
)

// kind is what the values of a setting are.
type kind struct {
	read  func(text string) (value any, ok bool)
	right string                   // what a good one is, to follow "it must be"
	show  func(text string) string // as it may be shown; nil: as it is
	list  bool                     // separated by commas; a list in the file
}

// shown is a value as it may be printed.
func (k kind) shown(text string) string {
	if k.show == nil || text == "" {
		return text
	}
	return k.show(text)
}

func hidden(string) string { return "***" }

var (
	secret = kind{
		read:  func(text string) (any, bool) { return models.SecretOf(text), !strings.ContainsFunc(text, isSpace) },
		right: "a key without spaces", show: hidden,
	}
	adminKeys = kind{
		read: readList(func(text string) (models.Secret, bool) {
			return models.SecretOf(text), strings.HasPrefix(text, adminKeyPrefix) && len(text) > len(adminKeyPrefix) && !strings.ContainsFunc(text, isSpace)
		}),
		right: "keys that begin with " + adminKeyPrefix + ", separated by commas", list: true,
		show: func(text string) string { return strings.Repeat("***, ", strings.Count(text, ",")) + "***" },
	}
	databaseURL = kind{ //nolint:gosec // the password in it is an example
		read: func(text string) (any, bool) {
			_, err := pgxpool.ParseConfig(text)
			return models.SecretOf(text), err == nil && !torn(text)
		},
		right: "a PostgreSQL address such as postgres://user:password@host:5432/database",
		show:  maskDatabase,
	}
	httpURL = kind{
		read: func(text string) (any, bool) {
			u, ok := parseHTTP(text)
			return strings.TrimRight(text, "/"), ok && u.User == nil && u.RawQuery == "" && u.Fragment == ""
		},
		right: "an address such as http://localhost:4000, without a login or a query", show: maskLogin,
	}
	httpURLs = kind{
		read: readList(func(text string) (string, bool) {
			v, ok := httpURL.read(text)
			address, _ := v.(string)
			return address, ok
		}),
		right: "addresses such as http://litellm-0:4000, separated by commas", show: maskLogin, list: true,
	}
	origins = kind{
		read: readList(func(text string) (string, bool) {
			u, ok := parseHTTP(text)
			return strings.TrimRight(text, "/"), ok && u.User == nil && strings.Trim(u.Path, "/") == "" && u.RawQuery == ""
		}),
		right: "origins such as https://litemaas.example.com, separated by commas", show: maskLogin, list: true,
	}
	networks = kind{
		read: readList(func(text string) (netip.Prefix, bool) {
			if a, err := netip.ParseAddr(text); err == nil {
				return netip.PrefixFrom(a, a.BitLen()), a.Zone() == ""
			}
			p, err := netip.ParsePrefix(text)
			return p, err == nil
		}),
		right: "addresses such as 10.1.2.3 or networks such as 10.0.0.0/8, separated by commas", list: true,
	}
	directory = kind{
		read:  func(text string) (any, bool) { return text, !strings.Contains(text, "\x00") },
		right: "a directory",
	}
	rate = kind{
		read: func(text string) (any, bool) {
			r, ok := ratelimit.ParseRate(text)
			return r, ok
		},
		right: "a number of requests and a time from 1s to 24h, such as 300/1m, or off",
	}
	redisURL = kind{
		read: func(text string) (any, bool) {
			_, err := redis.ParseURL(text)
			return models.SecretOf(text), err == nil && !torn(text)
		},
		right: "an address such as redis://:password@host:6379/0, or rediss:// for TLS",
		show:  maskDatabase,
	}
	boolean = kind{
		read:  func(text string) (any, bool) { return text == "true", text == "true" || text == "false" },
		right: "true or false",
	}
	word = kind{
		read:  func(text string) (any, bool) { return text, !strings.ContainsFunc(text, isSpace) },
		right: "a name without spaces",
	}
	hostPort = kind{
		read: func(text string) (any, bool) {
			host, port, err := net.SplitHostPort(text)
			return text, err == nil && host != "" && isPort(port)
		},
		right: "an address such as localhost:7233",
	}
	listenAddress = kind{
		read: func(text string) (any, bool) {
			if isPort(text) {
				text = ":" + text
			}
			_, port, err := net.SplitHostPort(text)
			return text, err == nil && isPort(port)
		},
		right: "an address such as :8081 or 127.0.0.1:8081",
	}
)

// adminKeyPrefix begins every admin key, so that nobody takes another key for one.
const adminKeyPrefix = "ltm_admin_"

func oneOf(words ...string) kind {
	return kind{
		read: func(text string) (any, bool) {
			return strings.ToLower(text), slices.Contains(words, strings.ToLower(text))
		},
		right: strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1],
	}
}

func number(from, to int) kind {
	return kind{
		read: func(text string) (any, bool) {
			n, err := strconv.Atoi(text)
			return n, err == nil && n >= from && n <= to
		},
		right: fmt.Sprintf("a number from %d to %d", from, to),
	}
}

func duration(from, to time.Duration) kind {
	return kind{
		read: func(text string) (any, bool) {
			d, err := time.ParseDuration(text)
			return d, err == nil && d >= from && d <= to
		},
		right: fmt.Sprintf("a length of time with its unit, such as 90s, 30m or 2h, from %s to %s", brief(from), brief(to)),
	}
}

// brief is d without zeros at its end.
func brief(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// readList reads each part of a list.
func readList[T any](read func(string) (T, bool)) func(string) (any, bool) {
	return func(text string) (any, bool) {
		var out []T
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			v, ok := read(part)
			if !ok {
				return nil, false
			}
			out = append(out, v)
		}
		return out, true
	}
}

func parseHTTP(text string) (*url.URL, bool) {
	u, err := url.Parse(text)
	return u, err == nil && u.Hostname() != "" && (u.Scheme == "http" || u.Scheme == "https")
}

func isSpace(r rune) bool { return r <= ' ' || r == 0x7f }

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

var login = regexp.MustCompile(`//[^,]*@`)

func maskLogin(text string) string { return login.ReplaceAllString(text, "//***@") }

// torn reports whether a password in an address has characters at which the address is torn
// apart: what stands behind them would be taken for a database, and shown.
func torn(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme != "" && (strings.Contains(u.Path+u.RawQuery, "@") || u.Fragment != "")
}

// maskDatabase shows an address without its passwords. What is no URL is not shown at all:
// where a password ends in it is not for us to guess.
func maskDatabase(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || torn(text) {
		return hidden(text)
	}
	user := ""
	if u.User != nil {
		user = url.User(u.User.Username()).String()
		if _, ok := u.User.Password(); ok {
			user += ":***"
		}
		user += "@"
	}
	query := []string{}
	for key := range u.Query() {
		shown := u.Query().Get(key)
		if strings.Contains(strings.ToLower(key), "password") {
			shown = "***"
		}
		query = append(query, key+"="+shown)
	}
	slices.Sort(query)
	out := u.Scheme + "://" + user + u.Host + u.EscapedPath()
	if len(query) > 0 {
		out += "?" + strings.Join(query, "&")
	}
	return out
}
