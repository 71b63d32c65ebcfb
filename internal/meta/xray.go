package meta

import (
	"context"
	"database/sql"
	"time"
)

// XRayGroup is a named filter expression.
type XRayGroup struct {
	Name string
	// UniqueID is the last part of the group's ARN.
	UniqueID      string
	Filter        string
	Insights      bool
	Notifications bool
}

// CreateXRayGroup stores a group and its tags; ErrExists means that the name is taken.
func (db *DB) CreateXRayGroup(ctx context.Context, g XRayGroup) error {
	return inserted(db.sql.ExecContext(ctx, `INSERT INTO xray_groups (name, unique_id, filter, insights, notifications) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		g.Name, g.UniqueID, g.Filter, g.Insights, g.Notifications))
}

// UpdateXRayGroup replaces a group of the same name, or returns ErrNotFound.
func (db *DB) UpdateXRayGroup(ctx context.Context, g XRayGroup) error {
	return changed(db.sql.ExecContext(ctx, `UPDATE xray_groups SET filter = ?, insights = ?, notifications = ? WHERE name = ?`, g.Filter, g.Insights, g.Notifications, g.Name))
}

// DeleteXRayGroup forgets a group, or returns ErrNotFound.
func (db *DB) DeleteXRayGroup(ctx context.Context, name string) error {
	return changed(db.sql.ExecContext(ctx, `DELETE FROM xray_groups WHERE name = ?`, name))
}

// XRayGroups lists the groups by name.
func (db *DB) XRayGroups(ctx context.Context) ([]XRayGroup, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT name, unique_id, filter, insights, notifications FROM xray_groups ORDER BY name`)
	return list(rows, err, func(r *sql.Rows) (XRayGroup, error) {
		var g XRayGroup
		return g, r.Scan(&g.Name, &g.UniqueID, &g.Filter, &g.Insights, &g.Notifications)
	})
}

// SamplingRule is a rule of X-Ray's sampling, kept as the JSON that package xray makes of it.
type SamplingRule struct {
	Name              string
	Rule              string
	Created, Modified time.Time
}

// CreateSamplingRule stores a rule; ErrExists means that the name is taken.
func (db *DB) CreateSamplingRule(ctx context.Context, r SamplingRule) error {
	return inserted(db.sql.ExecContext(ctx, `INSERT INTO sampling_rules (name, rule, created_at, modified_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		r.Name, r.Rule, r.Created.UnixNano(), r.Modified.UnixNano()))
}

// UpdateSamplingRule replaces the JSON and the time of change, or returns ErrNotFound.
func (db *DB) UpdateSamplingRule(ctx context.Context, r SamplingRule) error {
	return changed(db.sql.ExecContext(ctx, `UPDATE sampling_rules SET rule = ?, modified_at = ? WHERE name = ?`, r.Rule, r.Modified.UnixNano(), r.Name))
}

// DeleteSamplingRule forgets a rule, or returns ErrNotFound.
func (db *DB) DeleteSamplingRule(ctx context.Context, name string) error {
	return changed(db.sql.ExecContext(ctx, `DELETE FROM sampling_rules WHERE name = ?`, name))
}

// SamplingRules lists the rules by name.
func (db *DB) SamplingRules(ctx context.Context) ([]SamplingRule, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT name, rule, created_at, modified_at FROM sampling_rules ORDER BY name`)
	return list(rows, err, func(r *sql.Rows) (SamplingRule, error) {
		var s SamplingRule
		var created, modified int64
		err := r.Scan(&s.Name, &s.Rule, &created, &modified)
		s.Created, s.Modified = at(created), at(modified)
		return s, err
	})
}

// PendingSegment is an in-progress X-Ray document that waits for its complete version.
type PendingSegment struct {
	Environment string
	TraceID     string // 32 hex digits
	SegmentID   string // 16 hex digits
	Document    string
	Received    time.Time
}

// PutPendingSegments stores documents, replacing older ones of the same ids.
func (db *DB) PutPendingSegments(ctx context.Context, list []PendingSegment) error {
	return db.tx(ctx, func(tx *sql.Tx) error {
		for _, p := range list {
			if _, err := tx.ExecContext(ctx, `INSERT INTO pending_segments (environment, trace_id, segment_id, document, received_at) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (environment, trace_id, segment_id) DO UPDATE SET document = excluded.document, received_at = excluded.received_at`,
				p.Environment, p.TraceID, p.SegmentID, p.Document, p.Received.UnixNano()); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeletePendingSegments forgets pending documents by their environments and ids; those that are
// not there are passed over.
func (db *DB) DeletePendingSegments(ctx context.Context, list []PendingSegment) error {
	return db.tx(ctx, func(tx *sql.Tx) error {
		for _, p := range list {
			if _, err := tx.ExecContext(ctx, `DELETE FROM pending_segments WHERE environment = ? AND trace_id = ? AND segment_id = ?`,
				p.Environment, p.TraceID, p.SegmentID); err != nil {
				return err
			}
		}
		return nil
	})
}

// PendingSegments lists the pending documents, the oldest first.
func (db *DB) PendingSegments(ctx context.Context) ([]PendingSegment, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT environment, trace_id, segment_id, document, received_at FROM pending_segments ORDER BY received_at`)
	return list(rows, err, func(r *sql.Rows) (PendingSegment, error) {
		var p PendingSegment
		var received int64
		err := r.Scan(&p.Environment, &p.TraceID, &p.SegmentID, &p.Document, &received)
		p.Received = at(received)
		return p, err
	})
}
