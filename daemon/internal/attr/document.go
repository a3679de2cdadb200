package attr

import (
	"fmt"
	"slices"
	"time"
)

// MaxDocumentBytes bounds the body of a document.
const MaxDocumentBytes = 64 << 10

// DocumentKind names a configuration that a bucket may have, one of each kind. The names are those of S3's subresources.
type DocumentKind string

// The kinds of documents. Values are stored.
const (
	DocumentACL               DocumentKind = "acl"
	DocumentCORS              DocumentKind = "cors"
	DocumentEncryption        DocumentKind = "encryption"
	DocumentLifecycle         DocumentKind = "lifecycle"
	DocumentLogging           DocumentKind = "logging"
	DocumentNotification      DocumentKind = "notification"
	DocumentObjectLock        DocumentKind = "object-lock"
	DocumentOwnership         DocumentKind = "ownership-controls"
	DocumentPolicy            DocumentKind = "policy"
	DocumentPublicAccessBlock DocumentKind = "public-access-block"
	DocumentReplication       DocumentKind = "replication"
	DocumentTagging           DocumentKind = "tagging"
	DocumentWebsite           DocumentKind = "website"
)

// DocumentKinds are all kinds, in the order of their names.
var DocumentKinds = []DocumentKind{
	DocumentACL, DocumentCORS, DocumentEncryption, DocumentLifecycle, DocumentLogging, DocumentNotification, DocumentObjectLock,
	DocumentOwnership, DocumentPolicy, DocumentPublicAccessBlock, DocumentReplication, DocumentTagging, DocumentWebsite,
}

// Validate reports an unknown kind.
func (k DocumentKind) Validate() error {
	if !slices.Contains(DocumentKinds, k) {
		return fmt.Errorf("%.32q is no kind of a bucket's configuration", string(k))
	}
	return nil
}

// Document is a configuration of a bucket. A surface reads and writes it; the metadata stores keep its bytes.
type Document struct {
	Kind     DocumentKind
	Revision uint64 // of this body; see NextRevision
	Body     []byte // 1 to MaxDocumentBytes
}

// NextRevision is the revision of a document that is stored now, by the store's clock, in place of one of the revision before, or of none (0):
// the time in microseconds since 1970, or one more than before where that is not earlier. So it differs from those of all earlier
// bodies, also where the document was removed meanwhile, or the store was rebuilt.
func NextRevision(before uint64, now time.Time) uint64 {
	return max(before+1, uint64(now.UnixMicro()))
}

// Validate reports an unknown kind, or a body out of bounds.
func (d Document) Validate() error {
	if len(d.Body) == 0 || len(d.Body) > MaxDocumentBytes {
		return fmt.Errorf("a bucket's configuration has 1 to %d bytes, not %d", MaxDocumentBytes, len(d.Body))
	}
	return d.Kind.Validate()
}
