package lifecycle

import (
	"log/slog"
	"net"
	"net/netip"
	"strings"
)

// WarnPlain warns once if one of the served addresses can be reached from other hosts, because
// the traffic is not encrypted.
func WarnPlain(log *slog.Logger, served ...net.Addr) {
	var open []string
	for _, a := range served {
		if p, err := netip.ParseAddrPort(a.String()); err != nil || !p.Addr().Unmap().IsLoopback() {
			open = append(open, a.String())
		}
	}
	if len(open) > 0 {
		log.Warn("other hosts can reach this daemon, and the traffic is not encrypted: keys, tokens and data can be read on the network",
			"addresses", strings.Join(open, ", "), "next", "keep the network private, or put a proxy with TLS in front of the REST API; see docs/security.md")
	}
}

// WarnExposed warns once for each secret on the command line. prefix is that of the
// environment variables.
func WarnExposed(log *slog.Logger, flags []string, prefix string) {
	for _, flag := range flags {
		variable := prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
		log.Warn("a secret was given on the command line, where every user of this host can read it",
			"flag", "--"+flag, "next", "use --"+flag+"-file FILE or the variable "+variable)
	}
}
