// Command wire compares transports for the units that a gateway and a storage node exchange: what docs/adr/0133 decides by. Each
// carries the same bytes over loopback, between goroutines of one process, with TLS 1.3 and without:
//
//	read    a get of one 256 KiB unit, 4 at once
//	chunk   a get of one 170 KiB unit, as of a file of 1 MiB, 8 at once
//	small   a put of 4 KiB, 16 at once
//
// It prints operations per second and CPU time, of both ends together, as medians of several alternating rounds.
//
//	cd tests/wire && go run . -rounds 9
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"hash/crc32"
	"log"
	"math/big"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"
)

// transport moves units between a client and a server that was started with it. Both ends check the CRC-32C of what arrives.
type transport interface {
	get(size int) error
	put(unit []byte) error
	close()
}

// candidates are the transports; each starts its server on l. conf is nil without TLS.
var candidates = []struct {
	name  string
	start func(l net.Listener, server, client *tls.Config) (transport, error)
}{
	{"gRPC", startGRPC(false)},
	{"gRPC, large frames and no proto", startGRPC(true)},
	{"drpc", startDRPC},
	{"net/http", startHTTP},
	{"own frames", startFrames},
}

var table = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, table) }

var errSum = fmt.Errorf("the unit does not match its checksum")

// unit is the content of all units; a shorter one is its beginning.
var unit = func() []byte {
	b := make([]byte, 256<<10)
	_, _ = rand.Read(b)
	return b
}()

var sums sync.Map // of the beginnings of unit, by length

func unitSum(n int) uint32 {
	if sum, ok := sums.Load(n); ok {
		return sum.(uint32)
	}
	sum := checksum(unit[:n])
	sums.Store(n, sum)
	return sum
}

type load struct {
	name  string
	lanes int
	run   func(t transport) error
}

var loads = []load{
	{"read", 4, func(t transport) error { return t.get(256 << 10) }},
	{"chunk", 8, func(t transport) error { return t.get(170 << 10) }},
	{"small", 16, func(t transport) error { return t.put(unit[:4<<10]) }},
}

// result is one run.
type result struct{ rate, cpu float64 } // per second; microseconds for each operation

func measure(t transport, l load, d time.Duration) (result, error) {
	var ops atomic.Int64
	var failed atomic.Pointer[error]
	before, began := cpu(), time.Now()
	end := began.Add(d)
	var all sync.WaitGroup
	for range l.lanes {
		all.Go(func() {
			for time.Now().Before(end) {
				if err := l.run(t); err != nil {
					failed.Store(&err)
					return
				}
				ops.Add(1)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return result{}, *err
	}
	n := float64(ops.Load())
	return result{n / time.Since(began).Seconds(), (cpu() - before) * 1e6 / n}, nil
}

func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		log.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func main() {
	rounds := flag.Int("rounds", 9, "runs of each")
	each := flag.Duration("each", 500*time.Millisecond, "how long a run lasts")
	flag.Parse()
	log.SetFlags(0)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "transport\tTLS\t")
	for _, l := range loads {
		fmt.Fprintf(w, "%s /s\tCPU us\t", l.name)
	}
	fmt.Fprintln(w)
	for _, secure := range []bool{false, true} {
		if err := compare(w, secure, *rounds, *each); err != nil {
			log.Fatal(err)
		}
	}
	_ = w.Flush()
}

// compare measures all candidates in turn.
func compare(w *tabwriter.Writer, secure bool, rounds int, each time.Duration) error {
	server, client, err := configs(secure)
	if err != nil {
		return err
	}
	started := make([]transport, len(candidates))
	for i, c := range candidates {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		if started[i], err = c.start(l, server, client); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		defer started[i].close()
	}
	results := make([][][]result, len(candidates)) // by candidate and load
	for i := range results {
		results[i] = make([][]result, len(loads))
	}
	for round := -1; round < rounds; round++ { // the first does not count
		for j, l := range loads {
			for i, t := range started {
				r, err := measure(t, l, each)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", candidates[i].name, l.name, err)
				}
				if round >= 0 {
					results[i][j] = append(results[i][j], r)
				}
			}
		}
	}
	for i, c := range candidates {
		fmt.Fprintf(w, "%s\t%v\t", c.name, secure)
		for j := range loads {
			fmt.Fprintf(w, "%.0f\t%.1f\t", median(results[i][j], func(r result) float64 { return r.rate }), median(results[i][j], func(r result) float64 { return r.cpu }))
		}
		fmt.Fprintln(w)
	}
	return nil
}

func median(all []result, value func(result) float64) float64 {
	var values []float64
	for _, r := range all {
		values = append(values, value(r))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// configs returns the two ends of TLS 1.3 with a certificate of their own, or nothing.
func configs(secure bool) (server, client *tls.Config, err error) {
	if !secure {
		return nil, nil, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"node"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	server = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return server, &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: "node"}, nil
}

// dialer returns connections to l.
func dialer(l net.Listener, client *tls.Config) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		if client == nil {
			return net.Dial("tcp", l.Addr().String())
		}
		return tls.Dial("tcp", l.Addr().String(), client)
	}
}

func secured(l net.Listener, server *tls.Config) net.Listener {
	if server == nil {
		return l
	}
	return tls.NewListener(l, server)
}

var background = context.Background()
