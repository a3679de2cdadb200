package pgserver

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// account is the user that the server runs as; nil is the user of the program.
type account struct{ credential *syscall.Credential }

// unprivileged picks the account: PostgreSQL refuses to run as root, so for root
// it is the user postgres, or else daemon.
func unprivileged() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	for _, name := range []string{"postgres", "daemon"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return account{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
		}
	}
	return account{}, fmt.Errorf("pgserver: PostgreSQL does not run as root, and neither a user postgres nor a user daemon exists; run the tests as an ordinary user")
}

// attributes makes a child run as the account, in a session of its own so that
// a Ctrl-C on the terminal does not reach it: the program stops it.
func (a account) attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: a.credential, Setsid: true}
}

// own gives a file or directory to the account.
func (a account) own(name string) error {
	if a.credential == nil {
		return nil
	}
	return os.Chown(name, int(a.credential.Uid), int(a.credential.Gid))
}

// binaries are the programs of one PostgreSQL installation.
type binaries struct{ initdb, postgres string }

// findBinaries looks on PATH, then where Debian keeps them, newest version first.
func findBinaries() (binaries, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		// initdb on PATH may be a link into the real folder, where its companions are.
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		if b, ok := installation(filepath.Dir(path)); ok {
			return b, nil
		}
	}
	var best binaries
	newest := -1
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	for _, dir := range dirs {
		version, err := strconv.Atoi(strings.Split(dir, "/")[4])
		if b, ok := installation(dir); ok && err == nil && version > newest {
			best, newest = b, version
		}
	}
	if newest < 0 {
		return binaries{}, fmt.Errorf("pgserver: no initdb and postgres on PATH or in /usr/lib/postgresql/*/bin; " +
			"`make test` installs them, or by hand: apt-get install postgresql (Debian and Ubuntu)")
	}
	return best, nil
}

func installation(dir string) (binaries, bool) {
	b := binaries{initdb: filepath.Join(dir, "initdb"), postgres: filepath.Join(dir, "postgres")}
	for _, path := range []string{b.initdb, b.postgres} {
		if info, err := os.Stat(path); err != nil || info.Mode()&0o111 == 0 {
			return binaries{}, false
		}
	}
	return b, true
}
