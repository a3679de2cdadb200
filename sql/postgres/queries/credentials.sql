-- name: SaveCredential
INSERT INTO credentials (access_key, sealed, note) VALUES ($1, $2, $3);

-- name: ReplaceCredentials
WITH ended AS (DELETE FROM credentials WHERE note = $3 AND access_key <> $1)
INSERT INTO credentials (access_key, sealed, note) VALUES ($1, $2, $3)
ON CONFLICT (access_key) DO UPDATE SET sealed = EXCLUDED.sealed, note = EXCLUDED.note, created_at = EXCLUDED.created_at;

-- name: Credential
SELECT access_key, sealed, note, created_at FROM credentials WHERE access_key = $1;

-- name: ListCredentials
SELECT access_key, sealed, note, created_at FROM credentials;

-- name: DeleteCredential
DELETE FROM credentials WHERE access_key = $1;
