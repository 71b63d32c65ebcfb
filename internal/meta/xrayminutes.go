package meta

import (
	"context"
	"database/sql"
	"errors"
)

// XRayMinute is the service graph of the traces that began in a minute.
type XRayMinute struct {
	Minute int64 // since the epoch
	// Reach is how many minutes after this one the traces have parts in.
	Reach int64
	// Spans counts the rows with a trace id in this minute and those that it reaches over.
	Spans int64
	// Graph is what package xray makes of it.
	Graph []byte
}

// XRayProgress returns up to which Seq the minutes of an environment that are kept know all rows,
// -1 before any was kept.
func (db *DB) XRayProgress(ctx context.Context, environment string) (seq int64, err error) {
	err = one(db.sql.QueryRowContext(ctx, `SELECT seq FROM xray_progress WHERE environment = ?`, environment).Scan(&seq))
	if errors.Is(err, ErrNotFound) {
		return -1, nil
	}
	return seq, err
}

// XRayMinutesKept lists the minutes in [from, to) that are kept, without their graphs.
func (db *DB) XRayMinutesKept(ctx context.Context, environment string, from, to int64) ([]XRayMinute, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT minute, reach, spans FROM xray_minutes WHERE environment = ? AND minute >= ? AND minute < ?`, environment, from, to)
	return list(rows, err, func(r *sql.Rows) (m XRayMinute, err error) { return m, r.Scan(&m.Minute, &m.Reach, &m.Spans) })
}

// XRayMinutes calls visit for the minutes in [from, to) that are kept, in order, until it fails.
// The graph is good until visit returns.
func (db *DB) XRayMinutes(ctx context.Context, environment string, from, to int64, visit func(XRayMinute) error) error {
	rows, err := db.sql.QueryContext(ctx, `SELECT minute, reach, spans, graph FROM xray_minutes WHERE environment = ? AND minute >= ? AND minute < ? ORDER BY minute`, environment, from, to)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var graph sql.RawBytes
	for rows.Next() {
		var m XRayMinute
		if err := rows.Scan(&m.Minute, &m.Reach, &m.Spans, &graph); err != nil {
			return err
		}
		m.Graph = graph
		if err := visit(m); err != nil {
			return err
		}
	}
	return rows.Err()
}

// PutXRayMinutes keeps minutes.
func (db *DB) PutXRayMinutes(ctx context.Context, environment string, list []XRayMinute) error {
	return db.tx(ctx, func(tx *sql.Tx) error {
		for _, m := range list {
			if _, err := tx.ExecContext(ctx, `INSERT INTO xray_minutes (environment, minute, reach, spans, graph) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (environment, minute) DO UPDATE SET reach = excluded.reach, spans = excluded.spans, graph = excluded.graph`,
				environment, m.Minute, m.Reach, m.Spans, m.Graph); err != nil {
				return err
			}
		}
		return nil
	})
}

// ForgetXRayMinutes forgets minutes and notes up to which Seq those that stay know all rows.
func (db *DB) ForgetXRayMinutes(ctx context.Context, environment string, minutes []int64, seq int64) error {
	return db.tx(ctx, func(tx *sql.Tx) error {
		for _, m := range minutes {
			if _, err := tx.ExecContext(ctx, `DELETE FROM xray_minutes WHERE environment = ? AND minute = ?`, environment, m); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO xray_progress (environment, seq) VALUES (?, ?) ON CONFLICT (environment) DO UPDATE SET seq = excluded.seq`, environment, seq)
		return err
	})
}

// ForgetXRayMinutesBefore forgets the minutes before one.
func (db *DB) ForgetXRayMinutesBefore(ctx context.Context, environment string, minute int64) error {
	_, err := db.sql.ExecContext(ctx, `DELETE FROM xray_minutes WHERE environment = ? AND minute < ?`, environment, minute)
	return err
}

// Environments lists the environments that have datasets.
func (db *DB) Environments(ctx context.Context) ([]string, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT DISTINCT environment FROM datasets ORDER BY environment`)
	return list(rows, err, func(r *sql.Rows) (e string, err error) { return e, r.Scan(&e) })
}
