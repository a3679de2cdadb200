-- name: SaveCredential
INSERT INTO credentials (access_key, sealed, note, created_at) VALUES (?, ?, ?, ?);

-- name: EndCredentials
DELETE FROM credentials WHERE access_key = ? OR note = ?;

-- name: Credential
SELECT access_key, sealed, note, created_at FROM credentials WHERE access_key = ?;

-- name: ListCredentials
SELECT access_key, sealed, note, created_at FROM credentials ORDER BY access_key;

-- name: DeleteCredential
DELETE FROM credentials WHERE access_key = ?;
