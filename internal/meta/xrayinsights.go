package meta

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// XRayInsightMinute is what insights are made of: a group's traces that began in a minute.
type XRayInsightMinute struct {
	Minute int64 // since the epoch
	// Anomalous and Graph are what package xray makes of them.
	Anomalous string
	Graph     []byte
}

// XRayInsight is an anomaly of a group. Insight is what package xray makes of it.
type XRayInsight struct {
	ID, Environment, Group string
	Started                time.Time
	// Ended is zero while the insight is active.
	Ended   time.Time
	Insight string
}

// XRayInsightEvent is a change of an insight. Event is what package xray makes of it.
type XRayInsightEvent struct {
	At    time.Time
	Event string
}

// XRayInsightMinutes lists the minutes of a group in [from, to), in order.
func (db *DB) XRayInsightMinutes(ctx context.Context, environment, group string, from, to int64) ([]XRayInsightMinute, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT minute, anomalous, graph FROM xray_insight_minutes WHERE environment = ? AND group_name = ? AND minute >= ? AND minute < ? ORDER BY minute`,
		environment, group, from, to)
	return list(rows, err, func(r *sql.Rows) (XRayInsightMinute, error) {
		var m XRayInsightMinute
		return m, r.Scan(&m.Minute, &m.Anomalous, &m.Graph)
	})
}

// LastXRayInsightMinute returns the newest minute of a group, or ErrNotFound.
func (db *DB) LastXRayInsightMinute(ctx context.Context, environment, group string) (int64, error) {
	var m sql.NullInt64
	err := db.sql.QueryRowContext(ctx, `SELECT max(minute) FROM xray_insight_minutes WHERE environment = ? AND group_name = ?`, environment, group).Scan(&m)
	if err == nil && !m.Valid {
		err = ErrNotFound
	}
	return m.Int64, err
}

// XRayInsightChange is all that changes with a minute of a group; Events are by insight.
type XRayInsightChange struct {
	Minute   XRayInsightMinute
	Insights []XRayInsight
	Events   map[string]XRayInsightEvent
}

// ChangeXRayInsights keeps a minute of a group and what it changes of its insights, all or nothing.
func (db *DB) ChangeXRayInsights(ctx context.Context, environment, group string, c XRayInsightChange) error {
	return db.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO xray_insight_minutes (environment, group_name, minute, anomalous, graph) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			environment, group, c.Minute.Minute, c.Minute.Anomalous, c.Minute.Graph); err != nil {
			return err
		}
		for _, i := range c.Insights {
			ended := int64(0)
			if !i.Ended.IsZero() {
				ended = i.Ended.UnixNano()
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO xray_insights (id, environment, group_name, started_at, ended_at, insight) VALUES (?, ?, ?, ?, ?, ?)
				ON CONFLICT (id) DO UPDATE SET ended_at = excluded.ended_at, insight = excluded.insight`, i.ID, environment, group, i.Started.UnixNano(), ended, i.Insight); err != nil {
				return err
			}
			if e, ok := c.Events[i.ID]; ok {
				if _, err := tx.ExecContext(ctx, `INSERT INTO xray_insight_events (insight_id, at, event) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, i.ID, e.At.UnixNano(), e.Event); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

const insightColumns = `id, environment, group_name, started_at, ended_at, insight`

func scanInsight(scan func(...any) error) (XRayInsight, error) {
	var i XRayInsight
	var started, ended int64
	err := scan(&i.ID, &i.Environment, &i.Group, &started, &ended, &i.Insight)
	i.Started = at(started)
	if ended != 0 {
		i.Ended = at(ended)
	}
	return i, err
}

// XRayInsights lists the insights of a group, or of all groups where it is empty, that are active at
// some time in [from, to], the newest first.
func (db *DB) XRayInsights(ctx context.Context, environment, group string, from, to time.Time) ([]XRayInsight, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT `+insightColumns+` FROM xray_insights WHERE environment = ? AND (? = '' OR group_name = ?) AND started_at <= ? AND (ended_at = 0 OR ended_at >= ?)
		ORDER BY started_at DESC, id`, environment, group, group, to.UnixNano(), from.UnixNano())
	return list(rows, err, func(r *sql.Rows) (XRayInsight, error) { return scanInsight(r.Scan) })
}

// XRayInsight finds an insight of an environment, or returns ErrNotFound.
func (db *DB) XRayInsight(ctx context.Context, environment, id string) (XRayInsight, error) {
	i, err := scanInsight(db.sql.QueryRowContext(ctx, `SELECT `+insightColumns+` FROM xray_insights WHERE environment = ? AND id = ?`, environment, id).Scan)
	return i, one(err)
}

// XRayInsightEvents lists the events of an insight, the newest first.
func (db *DB) XRayInsightEvents(ctx context.Context, id string) ([]XRayInsightEvent, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT at, event FROM xray_insight_events WHERE insight_id = ? ORDER BY at DESC`, id)
	return list(rows, err, func(r *sql.Rows) (XRayInsightEvent, error) {
		var e XRayInsightEvent
		var ns int64
		err := r.Scan(&ns, &e.Event)
		e.At = at(ns)
		return e, err
	})
}

// ForgetXRayInsights forgets minutes before one, and insights that ended before a time.
func (db *DB) ForgetXRayInsights(ctx context.Context, minute int64, ended time.Time) error {
	_, first := db.sql.ExecContext(ctx, `DELETE FROM xray_insight_minutes WHERE minute < ?`, minute)
	_, second := db.sql.ExecContext(ctx, `DELETE FROM xray_insights WHERE ended_at <> 0 AND ended_at < ?`, ended.UnixNano())
	return errors.Join(first, second)
}
