package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// proxies are those whose word we take for where a request comes from. Gin has the like, but
// takes no addresses with ports, which some proxies write, and does not tell whom it trusts.
type proxies []netip.Prefix

func (p proxies) trust(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(known netip.Prefix) bool { return known.Contains(a) })
}

// origin is where a request comes from, and whether its caller sent it by TLS: what the caller
// says himself in a header is never believed. Each trusted proxy is asked where it had the
// request from, from the nearest on: that is X-Forwarded-For from right to left. Forwarded (RFC
// 7239) is not heeded, because a proxy that does not know it passes on what the caller wrote.
func (p proxies) origin(r *http.Request) (at netip.Addr, secure bool) {
	at, _ = address(r.RemoteAddr)
	secure = r.TLS != nil
	if !p.trust(at) {
		return at, secure
	}
	if schemes := listed(r, "X-Forwarded-Proto"); len(schemes) > 0 {
		secure = strings.EqualFold(schemes[len(schemes)-1], "https")
	}
	for _, hop := range slices.Backward(listed(r, "X-Forwarded-For")) {
		from, ok := address(hop)
		if !ok {
			break
		}
		if at = from; !p.trust(at) {
			break
		}
	}
	return at, secure
}

// listed is the elements of a header that is a list, in all its lines.
func listed(r *http.Request, header string) []string {
	var out []string
	for _, line := range r.Header.Values(header) {
		for element := range strings.SplitSeq(line, ",") {
			out = append(out, strings.TrimSpace(element))
		}
	}
	return out
}

// address reads an address with or without a port; one of IPv4 is told as such.
func address(text string) (netip.Addr, bool) {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().WithZone("").Unmap(), true
	}
	at, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return at.WithZone("").Unmap(), err == nil
}

// network is whom we take for one: an address of IPv4, but the /64 of one of IPv6, because
// everybody there has a whole one.
func network(a netip.Addr) string {
	if a.Is6() {
		return netip.PrefixFrom(a, 64).Masked().String()
	}
	return a.String()
}
