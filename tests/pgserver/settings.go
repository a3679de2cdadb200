package pgserver

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// settings gives the lines appended to postgresql.conf; the last of a name counts.
func (s *Server) settings(o Options) string {
	listen := ""
	if o.TCP {
		listen = "127.0.0.1"
	}
	onOff := map[bool]string{true: "on", false: "off"}[o.Durable]
	tls := map[bool]string{true: "on", false: "off"}[o.TLS]
	connections := o.MaxConnections
	if connections == 0 {
		connections = 200
	}
	var b strings.Builder
	set := func(name string, value any) {
		quoted := strings.ReplaceAll(fmt.Sprint(value), "'", "''")
		fmt.Fprintf(&b, "%s = '%s'\n", name, quoted)
	}
	set("listen_addresses", listen)
	set("port", s.port)
	set("unix_socket_directories", s.dir)
	set("ssl", tls)
	set("max_connections", connections)
	set("fsync", onOff)
	set("full_page_writes", onOff)
	set("shared_buffers", "128MB")
	set("max_wal_size", "512MB") // bounds what a benchmark leaves on the disk meanwhile
	set("lc_messages", "C")      // startProcess waits for an English sentence
	set("log_min_messages", "warning")
	for _, name := range slices.Sorted(maps.Keys(o.Settings)) {
		set(name, o.Settings[name])
	}
	return b.String()
}
