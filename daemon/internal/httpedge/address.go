package httpedge

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks whose forwarding headers are believed. The zero value
// trusts none: the client address is then the peer address of the connection.
type Proxies struct{ trusted []netip.Prefix }

// ParseProxies reads networks in CIDR notation, or single addresses.
func ParseProxies(list []string) (Proxies, error) {
	var p Proxies
	for _, text := range list {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, notAddr := netip.ParseAddr(text)
			if notAddr != nil || addr.Zone() != "" {
				return Proxies{}, fmt.Errorf("%q is not a network such as 10.0.0.0/8, nor an address", text)
			}
			prefix = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		}
		p.trusted = append(p.trusted, prefix.Masked())
	}
	return p, nil
}

func (p Proxies) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(p.trusted, func(n netip.Prefix) bool { return n.Contains(a) })
}

// clientAddress returns the address a request comes from: the peer of its connection, or what
// trusted proxies report in X-Forwarded-For or Forwarded. It is the only place that reads these
// headers; no other forwarding header is read. Each proxy appends the address of its peer,
// so the last address that is not a trusted proxy is the client; entries before it were
// sent by the client and prove nothing. If the two headers disagree, one of them passed
// through a proxy that does not know it, so neither is believed.
//
// The address is unmapped and without a zone. The zero Addr means that the peer has none.
func (p Proxies) clientAddress(r *http.Request) netip.Addr {
	client, err := parseHop(r.RemoteAddr)
	if err != nil || !p.trusts(client) {
		return client
	}
	hops := forwardedBy(r.Header)
	for i := len(hops) - 1; i >= 0 && p.trusts(client); i-- {
		hop, err := parseHop(hops[i])
		if err != nil {
			break // hidden or unknown: the proxy that reports it is the last known address
		}
		client = hop
	}
	return client
}

// forwardedBy lists the addresses that proxies recorded, the client's first.
func forwardedBy(h http.Header) []string {
	var usual, standard []string
	for _, line := range h.Values("X-Forwarded-For") {
		usual = append(usual, strings.Split(line, ",")...)
	}
	for _, line := range h.Values("Forwarded") {
		for element := range strings.SplitSeq(line, ",") {
			standard = append(standard, forOf(element))
		}
	}
	switch {
	case len(standard) == 0:
		return usual
	case len(usual) == 0 || slices.EqualFunc(usual, standard, sameHop):
		return standard
	}
	return nil
}

// forOf returns the address in one element of a Forwarded header (RFC 7239), or "".
func forOf(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		if name, value, _ := strings.Cut(strings.TrimSpace(pair), "="); strings.EqualFold(name, "for") {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

func sameHop(a, b string) bool {
	x, errX := parseHop(a)
	y, errY := parseHop(b)
	return errX == nil && errY == nil && x == y
}

// parseHop reads an address with or without a port; an IPv6 address may be in brackets.
func parseHop(text string) (netip.Addr, error) {
	text = strings.TrimSpace(text)
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().Unmap().WithZone(""), nil
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		text = strings.TrimSuffix(inner, "]")
	}
	a, err := netip.ParseAddr(text)
	return a.Unmap().WithZone(""), err
}
