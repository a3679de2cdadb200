package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/conf"
	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/rpc/data"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/telemetry"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/changes"
)

// Settings are the settings of a gateway process and of standalone.
type Settings struct {
	Listen        string        `conf:"listen" arg:"HOST:PORT" help:"address of the REST API; traffic is not encrypted, also beyond this host"`
	Connections   int           `conf:"max-connections" arg:"N" help:"open connections to the REST API; one client address, unless it is this host, may have a quarter of them"`
	Origins       []string      `conf:"allowed-origins" arg:"ORIGIN" help:"origin of web pages that may use the API, such as https://console.example.org; may be repeated; tus needs none"`
	Proxies       []string      `conf:"trusted-proxies" arg:"CIDR" help:"network of proxies whose X-Forwarded-For or Forwarded names the client; may be repeated; by default these headers are ignored"`
	Survive       int           `conf:"survive" arg:"N" help:"node failures that data survives, in buckets without a setting of their own, 0 to 3"`
	MaxFileSize   conf.Size     `conf:"max-file-size" arg:"SIZE" help:"largest file in one request; in parts, 5 TiB"`
	SessionTTL    time.Duration `conf:"session-ttl" arg:"TIME" help:"an upload in parts is removed after this time without a request"`
	MaxSessions   int           `conf:"max-sessions" arg:"N" help:"open uploads in parts of one bucket; more are refused; 0: no limit"`
	KeySessions   int           `conf:"max-sessions-per-key" arg:"N" help:"open uploads in parts of one access key; more are refused; 0: no limit"`
	DeleteGrace   time.Duration `conf:"delete-grace" arg:"TIME" help:"how long deleted or replaced files stay readable for downloads in progress; less when space is short"`
	ChangeAge     time.Duration `conf:"change-retention" arg:"TIME" help:"how long the record of changes of objects is kept for followers"`
	ChangeCount   int           `conf:"change-limit" arg:"N" help:"how many of the newest changes are kept at most"`
	WriteMemory   conf.Size     `conf:"write-memory" arg:"SIZE" help:"memory for the data of all uploads together; more uploads wait, then are refused"`
	Heartbeat     time.Duration `conf:"heartbeat" arg:"TIME" help:"time between heartbeats of the nodes; three missed ones make a node inactive"`
	RootAccessKey string        `conf:"root-access-key" arg:"KEY" help:"access key to create at the start, or whose secret to set; by default one is generated at the first start"`
	RootSecretKey conf.Secret   `conf:"root-secret-key" arg:"SECRET" help:"its secret"`
	LogLevel      string        `conf:"log-level" arg:"LEVEL" help:"least level to log: debug, info, warn or error"`
	LogFormat     string        `conf:"log-format" arg:"FORMAT" help:"auto (text on a terminal, else json), json or text"`
	Grace         time.Duration `conf:"grace" arg:"TIME" help:"how long requests in progress may take to end when the gateway is stopped"`
	Profile       string        `conf:"debug-listen" arg:"HOST:PORT" help:"address on this host for Go's profiles (/debug/pprof); by default they are not served"`
}

// DefaultSettings returns the defaults.
func DefaultSettings() Settings {
	return Settings{
		Listen: "127.0.0.1:8080", Connections: 4096, Survive: 2, MaxFileSize: 10 << 30, WriteMemory: 128 << 20, Heartbeat: 10 * time.Second,
		SessionTTL: 7 * 24 * time.Hour, MaxSessions: 10000, KeySessions: 1000, DeleteGrace: 15 * time.Minute,
		ChangeAge: changes.Default.Age, ChangeCount: changes.Default.Count,
		LogLevel: "info", LogFormat: string(telemetry.Auto), Grace: 20 * time.Second,
	}
}

// minWriteMemory suffices for one stripe of the widest layout besides the share of small uploads, with room for others.
const minWriteMemory = 32 << 20

// maxSessions bounds the limits on open sessions: once one is reached, each creation counts that many rows.
const maxSessions = 1_000_000

// Validate reports the first setting that cannot work.
func (s *Settings) Validate() error {
	if _, err := httpedge.ParseOrigins(s.Origins); err != nil {
		return fmt.Errorf("--allowed-origins: %w", err)
	}
	if _, err := httpedge.ParseProxies(s.Proxies); err != nil {
		return fmt.Errorf("--trusted-proxies: %w", err)
	}
	switch {
	case s.Survive < 0 || s.Survive > store.MaxSurvive:
		return fmt.Errorf("--survive %d is not within 0..%d", s.Survive, store.MaxSurvive)
	case s.Connections < 8:
		return errors.New("--max-connections must be at least 8")
	case s.MaxFileSize < 1:
		return errors.New("--max-file-size must be at least 1 byte")
	case s.WriteMemory < minWriteMemory:
		return fmt.Errorf("--write-memory must be at least %s, for the widest stripe and the share of small uploads", conf.Size(minWriteMemory))
	case s.DeleteGrace < 0:
		return errors.New("--delete-grace must not be negative")
	case s.ChangeAge < time.Minute || s.ChangeCount < 1000:
		return errors.New("--change-retention must be at least a minute, and --change-limit at least 1000")
	case s.SessionTTL < time.Second:
		return errors.New("--session-ttl must be at least a second")
	case s.MaxSessions < 0 || s.MaxSessions > maxSessions || s.KeySessions < 0 || s.KeySessions > maxSessions:
		return fmt.Errorf("--max-sessions and --max-sessions-per-key must be within 0..%d; 0 is no limit", maxSessions)
	case s.Heartbeat <= 0 || s.Grace < 0:
		return errors.New("--heartbeat must be positive and --grace must not be negative")
	case (s.RootAccessKey == "") != (s.RootSecretKey == ""):
		return errors.New("--root-access-key and --root-secret-key go together")
	case s.Profile != "" && !onThisHost(s.Profile):
		return fmt.Errorf("--debug-listen %q is not an address of this host alone: profiles need no key, so they are served on 127.0.0.1, [::1] or localhost", s.Profile)
	}
	return nil
}

// onThisHost reports whether only this host can reach the address host:port.
func onThisHost(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// worthWarning leaves out a database address without a password.
func worthWarning(exposed []string, c Config) []string {
	return slices.DeleteFunc(exposed, func(flag string) bool {
		return flag == "database" && !holdsPassword(c.Database.Reveal())
	})
}

// holdsPassword reports whether a connection string holds a password, in either of its forms.
func holdsPassword(dsn string) bool {
	if u, err := url.Parse(dsn); err == nil && u.Scheme != "" {
		_, in := u.User.Password()
		return in || u.Query().Has("password")
	}
	return strings.Contains(dsn, "password")
}

// Config holds all settings of a gateway process.
type Config struct {
	Settings
	Database     conf.Secret `conf:"database" arg:"URL" required:"true" help:"PostgreSQL of the metadata: postgres://user:password@host/name; several hosts may be given"`
	ListenGRPC   string      `conf:"listen-grpc" arg:"HOST:PORT" help:"address where storage nodes join and send heartbeats; traffic is not encrypted, also beyond this host"`
	FirstKeyFile string      `conf:"first-key-file" arg:"FILE" help:"new file for the first access key, when standard output is no terminal"`
	JoinToken    conf.Secret `conf:"join-token" arg:"TOKEN" help:"join token of the cluster, the same at every gateway and node"`
	MasterKey    conf.Secret `conf:"master-key" arg:"KEY" help:"key that seals the secrets in the database: 32 bytes as 64 hexadecimal digits or base64; the same at every gateway"`
	DataPlane    string      `conf:"data-plane" arg:"PLANE" help:"how data travels to the nodes: auto (through their data port where they have one) or grpc"`
	Insecure     bool        `conf:"insecure" help:"run without a join token: any process that reaches the port may join as a node; for tests"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{Settings: DefaultSettings(), ListenGRPC: "127.0.0.1:9090", FirstKeyFile: "ringstore-first-key", DataPlane: data.Auto}
}

// Validate implements conf.Validator.
func (c *Config) Validate() error {
	if err := c.Settings.Validate(); err != nil {
		return err
	}
	if err := data.CheckPlane(c.DataPlane); err != nil {
		return err
	}
	switch {
	case c.JoinToken == "" && !c.Insecure:
		return errors.New("--join-token (or RINGSTORE_JOIN_TOKEN, or --join-token-file) is required, unless --insecure is given")
	case c.JoinToken != "" && c.Insecure:
		return errors.New("--insecure and --join-token exclude each other")
	case !c.Insecure && rpc.CheckJoinToken(c.JoinToken.Reveal()) != nil:
		return fmt.Errorf("--join-token: %w; make one with: openssl rand -hex 32", rpc.CheckJoinToken(c.JoinToken.Reveal()))
	case c.MasterKey == "":
		return errors.New("--master-key (or RINGSTORE_MASTER_KEY, or --master-key-file) is required; make one with: openssl rand -hex 32")
	}
	return nil
}
