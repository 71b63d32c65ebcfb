package meta

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Setting returns a named setting, "" when it was never set.
func (db *DB) Setting(ctx context.Context, name string) (string, error) {
	var v string
	err := db.sql.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = ?`, name).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return v, err
}

// SetSetting stores a named setting.
func (db *DB) SetSetting(ctx context.Context, name, value string) error {
	_, err := db.sql.ExecContext(ctx, `INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	return err
}

// Query is a saved query of Honeycomb's API: immutable, never deleted.
type Query struct {
	ID      string
	Dataset string // slug, or __all__
	Spec    string // JSON
	Created time.Time
}

// CreateQuery stores a query under a new id.
func (db *DB) CreateQuery(ctx context.Context, dataset, spec string) (Query, error) {
	q := Query{ID: randomText(11), Dataset: dataset, Spec: spec, Created: at(now())}
	_, err := db.sql.ExecContext(ctx, `INSERT INTO queries (id, dataset, spec, created_at) VALUES (?, ?, ?, ?)`, q.ID, q.Dataset, q.Spec, q.Created.UnixNano())
	return q, err
}

// Query returns a saved query, or ErrNotFound.
func (db *DB) Query(ctx context.Context, id string) (Query, error) {
	q := Query{ID: id}
	var created int64
	err := db.sql.QueryRowContext(ctx, `SELECT dataset, spec, created_at FROM queries WHERE id = ?`, id).Scan(&q.Dataset, &q.Spec, &created)
	q.Created = at(created)
	return q, one(err)
}
