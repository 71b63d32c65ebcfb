package meta

import (
	"context"
	"database/sql"
	"time"
)

// InsightsRun is one execution of a Logs Insights query.
type InsightsRun struct {
	ID, Environment, Account string
	Query                    string // as it is shown, groups and range included
	Groups                   string // JSON: names of log groups
	Status                   string
	Created, Ended           time.Time // Ended is zero while it runs
	Statistics               string    // JSON
	Error                    string    // why it failed
	Rows                     int
	Bytes                    int64 // of the pages of its result
}

// ResultPage is a part of a run's result: the rows from First on, encoded.
type ResultPage struct {
	First int
	Body  []byte
}

func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func unstamp(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return at(ns)
}

// CreateInsightsRun remembers a run that begins. Runs and results can be made again, so that no
// call about them waits for the disk.
func (db *DB) CreateInsightsRun(ctx context.Context, r InsightsRun) error {
	_, err := db.quick.ExecContext(ctx, `INSERT INTO insights_runs (id, environment, account, query, log_groups, status, created_at, ended_at, statistics, error, rows, bytes)
		VALUES (?, ?, ?, ?, ?, ?, ?, 0, '{}', '', 0, 0)`, r.ID, r.Environment, r.Account, r.Query, r.Groups, r.Status, stamp(r.Created))
	return err
}

// EndInsightsRun remembers how a run ended, with its result, in one step.
func (db *DB) EndInsightsRun(ctx context.Context, r InsightsRun, pages []ResultPage) error {
	return inTx(ctx, db.quick, func(tx *sql.Tx) error {
		if err := changed(tx.ExecContext(ctx, `UPDATE insights_runs SET status = ?, ended_at = ?, statistics = ?, error = ?, rows = ?, bytes = ? WHERE id = ?`,
			r.Status, stamp(r.Ended), r.Statistics, r.Error, r.Rows, r.Bytes, r.ID)); err != nil {
			return err
		}
		for _, p := range pages {
			if _, err := tx.ExecContext(ctx, `INSERT INTO insights_results (run_id, first_row, body) VALUES (?, ?, ?)`, r.ID, p.First, p.Body); err != nil {
				return err
			}
		}
		return nil
	})
}

// RecoverInsightsRuns marks the runs that never ended, whose process is gone, with a status and an
// error, and returns all runs, the oldest first.
func (db *DB) RecoverInsightsRuns(ctx context.Context, status, message string, cut ...string) ([]InsightsRun, error) {
	for _, c := range cut {
		if _, err := db.quick.ExecContext(ctx, `UPDATE insights_runs SET status = ?, error = ?, ended_at = ? WHERE status = ?`, status, message, now(), c); err != nil {
			return nil, err
		}
	}
	rows, err := db.quick.QueryContext(ctx, `SELECT id, environment, account, query, log_groups, status, created_at, ended_at, statistics, error, rows, bytes
		FROM insights_runs ORDER BY created_at, id`)
	return list(rows, err, func(r *sql.Rows) (InsightsRun, error) {
		var x InsightsRun
		var created, ended int64
		err := r.Scan(&x.ID, &x.Environment, &x.Account, &x.Query, &x.Groups, &x.Status, &created, &ended, &x.Statistics, &x.Error, &x.Rows, &x.Bytes)
		x.Created, x.Ended = unstamp(created), unstamp(ended)
		return x, err
	})
}

// DeleteInsightsRuns forgets runs and their results.
func (db *DB) DeleteInsightsRuns(ctx context.Context, ids []string) error {
	return inTx(ctx, db.quick, func(tx *sql.Tx) error {
		for _, id := range ids {
			if _, err := tx.ExecContext(ctx, `DELETE FROM insights_runs WHERE id = ?`, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// InsightsResult returns the pages of a run's result that hold the rows from first up to last.
func (db *DB) InsightsResult(ctx context.Context, run string, first, last int) ([]ResultPage, error) {
	rows, err := db.quick.QueryContext(ctx, `SELECT first_row, body FROM insights_results WHERE run_id = ? AND first_row < ? AND first_row >=
		coalesce((SELECT max(first_row) FROM insights_results WHERE run_id = ? AND first_row <= ?), 0) ORDER BY first_row`, run, last, run, first)
	return list(rows, err, func(r *sql.Rows) (ResultPage, error) {
		var p ResultPage
		return p, r.Scan(&p.First, &p.Body)
	})
}

// QueryDefinition is a saved query of Logs Insights.
type QueryDefinition struct {
	ID, Environment, Name string
	Definition            string // JSON
	Modified              time.Time
}

// PutQueryDefinition stores a saved query under its id, or replaces it.
func (db *DB) PutQueryDefinition(ctx context.Context, d QueryDefinition) error {
	_, err := db.sql.ExecContext(ctx, `INSERT INTO query_definitions (id, environment, name, definition, modified_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, definition = excluded.definition, modified_at = excluded.modified_at`,
		d.ID, d.Environment, d.Name, d.Definition, stamp(d.Modified))
	return err
}

// QueryDefinitions lists the saved queries of an environment by name.
func (db *DB) QueryDefinitions(ctx context.Context, environment string) ([]QueryDefinition, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT id, environment, name, definition, modified_at FROM query_definitions WHERE environment = ? ORDER BY name, id`, environment)
	return list(rows, err, func(r *sql.Rows) (QueryDefinition, error) {
		var d QueryDefinition
		var modified int64
		err := r.Scan(&d.ID, &d.Environment, &d.Name, &d.Definition, &modified)
		d.Modified = unstamp(modified)
		return d, err
	})
}

// DeleteQueryDefinition forgets a saved query, or returns ErrNotFound.
func (db *DB) DeleteQueryDefinition(ctx context.Context, environment, id string) error {
	return changed(db.sql.ExecContext(ctx, `DELETE FROM query_definitions WHERE environment = ? AND id = ?`, environment, id))
}

// LookupTable is a table that queries look into. Body is its CSV.
type LookupTable struct {
	Environment, Name, Description, KMSKeyID string
	Fields                                   string // JSON
	Records                                  int
	Size                                     int
	Body                                     string
	Created, Updated                         time.Time
}

// CreateLookupTable stores a table; ErrExists means that the name is taken.
func (db *DB) CreateLookupTable(ctx context.Context, t LookupTable) error {
	return inserted(db.sql.ExecContext(ctx, `INSERT INTO lookup_tables (environment, name, description, kms_key_id, fields, records, body, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, t.Environment, t.Name, t.Description, t.KMSKeyID, t.Fields, t.Records, t.Body, stamp(t.Created), stamp(t.Updated)))
}

// UpdateLookupTable replaces a table, or returns ErrNotFound.
func (db *DB) UpdateLookupTable(ctx context.Context, t LookupTable) error {
	return changed(db.sql.ExecContext(ctx, `UPDATE lookup_tables SET description = ?, kms_key_id = ?, fields = ?, records = ?, body = ?, updated_at = ? WHERE environment = ? AND name = ?`,
		t.Description, t.KMSKeyID, t.Fields, t.Records, t.Body, stamp(t.Updated), t.Environment, t.Name))
}

// LookupTable returns a table, or ErrNotFound.
func (db *DB) LookupTable(ctx context.Context, environment, name string) (LookupTable, error) {
	t := LookupTable{Environment: environment, Name: name}
	var created, updated int64
	err := db.sql.QueryRowContext(ctx, `SELECT description, kms_key_id, fields, records, body, created_at, updated_at FROM lookup_tables WHERE environment = ? AND name = ?`,
		environment, name).Scan(&t.Description, &t.KMSKeyID, &t.Fields, &t.Records, &t.Body, &created, &updated)
	t.Created, t.Updated, t.Size = unstamp(created), unstamp(updated), len(t.Body)
	return t, one(err)
}

// LookupTables lists the tables of an environment by name, without their bodies.
func (db *DB) LookupTables(ctx context.Context, environment string) ([]LookupTable, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT name, description, kms_key_id, fields, records, length(CAST(body AS BLOB)), created_at, updated_at FROM lookup_tables
		WHERE environment = ? ORDER BY name`, environment)
	return list(rows, err, func(r *sql.Rows) (LookupTable, error) {
		t := LookupTable{Environment: environment}
		var created, updated int64
		err := r.Scan(&t.Name, &t.Description, &t.KMSKeyID, &t.Fields, &t.Records, &t.Size, &created, &updated)
		t.Created, t.Updated = unstamp(created), unstamp(updated)
		return t, err
	})
}

// DeleteLookupTable forgets a table, or returns ErrNotFound.
func (db *DB) DeleteLookupTable(ctx context.Context, environment, name string) error {
	return changed(db.sql.ExecContext(ctx, `DELETE FROM lookup_tables WHERE environment = ? AND name = ?`, environment, name))
}

// ScheduledQuery is a Logs Insights query that runs by itself.
type ScheduledQuery struct {
	Environment, Name, ID string
	Definition            string // JSON
	Created, Updated      time.Time
	// Triggered is when it ran last, zero when it did not, and LastExecution how that ended.
	Triggered     time.Time
	LastExecution string
}

// CreateScheduledQuery stores a scheduled query; ErrExists means that the name is taken.
func (db *DB) CreateScheduledQuery(ctx context.Context, q ScheduledQuery) error {
	return inserted(db.sql.ExecContext(ctx, `INSERT INTO scheduled_queries (environment, name, id, definition, created_at, updated_at, triggered_at, last_execution)
		VALUES (?, ?, ?, ?, ?, ?, 0, '') ON CONFLICT DO NOTHING`, q.Environment, q.Name, q.ID, q.Definition, stamp(q.Created), stamp(q.Updated)))
}

// UpdateScheduledQuery replaces the definition of a scheduled query, or returns ErrNotFound.
func (db *DB) UpdateScheduledQuery(ctx context.Context, q ScheduledQuery) error {
	return changed(db.sql.ExecContext(ctx, `UPDATE scheduled_queries SET definition = ?, updated_at = ? WHERE environment = ? AND name = ?`,
		q.Definition, stamp(q.Updated), q.Environment, q.Name))
}

// ScheduledQueries lists the scheduled queries of an environment, or of all with "", by name.
func (db *DB) ScheduledQueries(ctx context.Context, environment string) ([]ScheduledQuery, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT environment, name, id, definition, created_at, updated_at, triggered_at, last_execution FROM scheduled_queries
		WHERE environment = ? OR ? = '' ORDER BY name, environment`, environment, environment)
	return list(rows, err, func(r *sql.Rows) (ScheduledQuery, error) {
		var q ScheduledQuery
		var created, updated, triggered int64
		err := r.Scan(&q.Environment, &q.Name, &q.ID, &q.Definition, &created, &updated, &triggered, &q.LastExecution)
		q.Created, q.Updated, q.Triggered = unstamp(created), unstamp(updated), unstamp(triggered)
		return q, err
	})
}

// DeleteScheduledQuery forgets a scheduled query and its history, or returns ErrNotFound.
func (db *DB) DeleteScheduledQuery(ctx context.Context, environment, name string) error {
	return changed(db.sql.ExecContext(ctx, `DELETE FROM scheduled_queries WHERE environment = ? AND name = ?`, environment, name))
}

// ScheduledRun is one execution of a scheduled query.
type ScheduledRun struct {
	Environment, Name, QueryID, Status string
	Triggered                          time.Time
	Error                              string
	Destinations                       string // JSON
}

// PutScheduledRun remembers an execution, or how it ended, as the query's last. It does nothing
// once the query is gone.
func (db *DB) PutScheduledRun(ctx context.Context, r ScheduledRun) error {
	return db.tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE scheduled_queries SET triggered_at = ?, last_execution = ? WHERE environment = ? AND name = ? AND triggered_at <= ?`,
			stamp(r.Triggered), r.Status, r.Environment, r.Name, stamp(r.Triggered))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO scheduled_runs (environment, name, query_id, status, triggered_at, error, destinations) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET status = excluded.status, error = excluded.error, destinations = excluded.destinations`,
			r.Environment, r.Name, r.QueryID, r.Status, stamp(r.Triggered), r.Error, r.Destinations)
		return err
	})
}

// ScheduledRuns lists the executions of a scheduled query between two times, the newest first.
func (db *DB) ScheduledRuns(ctx context.Context, environment, name string, from, to time.Time) ([]ScheduledRun, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT query_id, status, triggered_at, error, destinations FROM scheduled_runs
		WHERE environment = ? AND name = ? AND triggered_at >= ? AND triggered_at <= ? ORDER BY triggered_at DESC, query_id`, environment, name, stamp(from), stamp(to))
	return list(rows, err, func(r *sql.Rows) (ScheduledRun, error) {
		x := ScheduledRun{Environment: environment, Name: name}
		var triggered int64
		err := r.Scan(&x.QueryID, &x.Status, &triggered, &x.Error, &x.Destinations)
		x.Triggered = unstamp(triggered)
		return x, err
	})
}

// TrimScheduledRuns forgets executions before a time, and marks those that never ended, of which
// the process is gone, when cut is set.
func (db *DB) TrimScheduledRuns(ctx context.Context, before time.Time, cut string) error {
	if cut != "" {
		for _, stmt := range []string{
			`UPDATE scheduled_runs SET status = ?, error = 'the server was restarted' WHERE status = 'Running'`,
			`UPDATE scheduled_queries SET last_execution = ? WHERE last_execution = 'Running'`,
		} {
			if _, err := db.sql.ExecContext(ctx, stmt, cut); err != nil {
				return err
			}
		}
	}
	_, err := db.sql.ExecContext(ctx, `DELETE FROM scheduled_runs WHERE triggered_at < ?`, stamp(before))
	return err
}
