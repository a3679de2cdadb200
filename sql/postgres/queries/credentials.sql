-- name: SaveCredential
INSERT INTO credentials (access_key, sealed, note) VALUES ($1, $2, $3);

-- name: Credential
SELECT access_key, sealed, note, created_at FROM credentials WHERE access_key = $1;

-- name: ListCredentials
SELECT access_key, sealed, note, created_at FROM credentials ORDER BY access_key;

-- name: DeleteCredential
DELETE FROM credentials WHERE access_key = $1;
