package meta

import (
	"context"
	"database/sql"
	"strings"
	"time"
)

// XRayRetrieval is a set of traces that a client asked for.
type XRayRetrieval struct {
	Token, Environment string
	// Traces are ids of 32 hex digits.
	Traces    []string
	Started   time.Time
	Cancelled bool
}

// PutXRayRetrieval keeps a retrieval and forgets those that were started before a time, and the
// oldest beyond max.
func (db *DB) PutXRayRetrieval(ctx context.Context, r XRayRetrieval, before time.Time, max int) error {
	return db.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO xray_retrievals (token, environment, traces, started_at, cancelled) VALUES (?, ?, ?, ?, ?)`,
			r.Token, r.Environment, strings.Join(r.Traces, " "), r.Started.UnixNano(), r.Cancelled); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM xray_retrievals WHERE started_at < ?`, before.UnixNano()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM xray_retrievals WHERE token NOT IN (SELECT token FROM xray_retrievals ORDER BY started_at DESC, token LIMIT ?)`, max)
		return err
	})
}

// XRayRetrieval finds a retrieval of an environment, or returns ErrNotFound.
func (db *DB) XRayRetrieval(ctx context.Context, environment, token string) (XRayRetrieval, error) {
	r := XRayRetrieval{Token: token, Environment: environment}
	var traces string
	var started int64
	err := one(db.sql.QueryRowContext(ctx, `SELECT traces, started_at, cancelled FROM xray_retrievals WHERE token = ? AND environment = ?`, token, environment).Scan(&traces, &started, &r.Cancelled))
	r.Traces, r.Started = strings.Fields(traces), at(started)
	return r, err
}

// CancelXRayRetrieval marks a retrieval as cancelled, or returns ErrNotFound.
func (db *DB) CancelXRayRetrieval(ctx context.Context, environment, token string) error {
	return changed(db.sql.ExecContext(ctx, `UPDATE xray_retrievals SET cancelled = 1 WHERE token = ? AND environment = ?`, token, environment))
}
