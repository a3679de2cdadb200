package pgserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificate is the file with the server's certificate, which is its own authority.
func (s *Server) certificate() string { return filepath.Join(s.dataDir(), "server.crt") }

// makeCertificate puts a certificate for 127.0.0.1 and its key where the server looks for them.
func (s *Server) makeCertificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("pgserver: certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pgserver"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("pgserver: certificate: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("pgserver: certificate: %w", err)
	}
	var errs []error
	for name, block := range map[string]*pem.Block{
		s.certificate():                          {Type: "CERTIFICATE", Bytes: cert},
		filepath.Join(s.dataDir(), "server.key"): {Type: "PRIVATE KEY", Bytes: secret},
	} {
		errs = append(errs, os.WriteFile(name, pem.EncodeToMemory(block), 0o600), s.account.own(name))
	}
	return errors.Join(errs...)
}
