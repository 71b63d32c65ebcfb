package meta

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"
)

// Key is a credential. The secret itself is not kept, only its hash: keys are random, so a
// plain SHA-256 is enough to make the file useless to a thief.
type Key struct {
	ID          string
	Name        string
	Environment string
	// AccessKeyID names the key to AWS clients; its secret is AWSSecret.
	AccessKeyID string
	Created     time.Time
	// Revoked is zero while the key is valid.
	Revoked time.Time
}

const keyAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// CreateKey makes a key for an environment and returns the text that clients send: it looks as
// an ingest key of Honeycomb does, 64 characters that begin with hcaik_.
func (db *DB) CreateKey(ctx context.Context, environment, name string) (Key, string, error) {
	k := Key{ID: "hcaik_" + randomText(26), Name: name, Environment: environment, Created: at(now())}
	k.AccessKeyID = "AKTF" + strings.ToUpper(randomText(16))
	secret := k.ID + randomText(32)
	_, err := db.sql.ExecContext(ctx, `INSERT INTO keys (id, name, environment, access_key_id, hash, created_at) VALUES (?, ?, ?, ?, ?, ?)`,
		k.ID, name, environment, k.AccessKeyID, hashKey(secret), k.Created.UnixNano())
	return k, secret, err
}

// AWSSecret returns the secret access key that belongs to an access key id and the key itself;
// ErrNotFound means that no valid key has that id. A signature can only be checked with the
// secret at hand, so secrets are derived from a random master secret of this database.
func (db *DB) AWSSecret(ctx context.Context, accessKeyID string) (string, Key, error) {
	k, err := scanKey(db.sql.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM keys WHERE access_key_id = ? AND revoked_at IS NULL`, accessKeyID).Scan)
	if err != nil {
		return "", k, one(err)
	}
	if _, err := db.sql.ExecContext(ctx, `INSERT INTO settings (name, value) VALUES ('aws.master', ?) ON CONFLICT DO NOTHING`, randomText(52)); err != nil {
		return "", k, err
	}
	master, err := db.Setting(ctx, "aws.master")
	mac := hmac.New(sha256.New, []byte(master))
	mac.Write([]byte(accessKeyID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))[:40], k, err
}

// KeyBySecret returns the valid key of a secret, or ErrNotFound.
func (db *DB) KeyBySecret(ctx context.Context, secret string) (Key, error) {
	k, err := scanKey(db.sql.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM keys WHERE hash = ? AND revoked_at IS NULL`, hashKey(secret)).Scan)
	return k, one(err)
}

// Keys lists all keys, the oldest first.
func (db *DB) Keys(ctx context.Context) ([]Key, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT `+keyColumns+` FROM keys ORDER BY created_at, id`)
	return list(rows, err, func(r *sql.Rows) (Key, error) { return scanKey(r.Scan) })
}

// RevokeKey ends a key; ErrNotFound means that there is no valid one of that id.
func (db *DB) RevokeKey(ctx context.Context, id string) error {
	return changed(db.sql.ExecContext(ctx, `UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL`, now(), id))
}

const keyColumns = `id, name, environment, access_key_id, created_at, COALESCE(revoked_at, 0)`

func scanKey(scan func(...any) error) (Key, error) {
	var k Key
	var created, revoked int64
	err := scan(&k.ID, &k.Name, &k.Environment, &k.AccessKeyID, &created, &revoked)
	k.Created = at(created)
	if revoked != 0 {
		k.Revoked = at(revoked)
	}
	return k, err
}

func hashKey(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	for i := range b {
		b[i] = keyAlphabet[b[i]&31]
	}
	return string(b)
}
