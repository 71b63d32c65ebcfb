package meta

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// LogObject is something that a client of CloudWatch Logs defines and reads back: a filter, a policy,
// a destination. Scope is the log group that it belongs to, with which it is deleted, or empty.
type LogObject struct {
	Environment string
	Kind        string
	Scope       string
	Name        string
	// Document is JSON of the caller's.
	Document         string
	Created, Updated time.Time
}

const logObjectColumns = `environment, kind, scope, name, document, created_at, updated_at`

func scanLogObject(scan func(...any) error) (LogObject, error) {
	var o LogObject
	var created, updated int64
	err := scan(&o.Environment, &o.Kind, &o.Scope, &o.Name, &o.Document, &created, &updated)
	o.Created, o.Updated = at(created), at(updated)
	return o, one(err)
}

// PutLogObject stores an object in place of what had its kind, scope and name, and returns it with its
// times: Created is that of the first. With most above 0 it is ErrFull when the kind and scope have that
// many others.
func (db *DB) PutLogObject(ctx context.Context, o LogObject, most int) (LogObject, error) {
	err := db.tx(ctx, func(tx *sql.Tx) error {
		t := now()
		created := t
		err := tx.QueryRowContext(ctx, `SELECT created_at FROM log_objects WHERE environment = ? AND kind = ? AND scope = ? AND name = ?`,
			o.Environment, o.Kind, o.Scope, o.Name).Scan(&created)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			n := 0
			if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM log_objects WHERE environment = ? AND kind = ? AND scope = ?`,
				o.Environment, o.Kind, o.Scope).Scan(&n); err != nil {
				return err
			}
			if most > 0 && n >= most {
				return ErrFull
			}
		case err != nil:
			return err
		}
		o.Created, o.Updated = at(created), at(t)
		_, err = tx.ExecContext(ctx, `INSERT INTO log_objects (`+logObjectColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (environment, kind, scope, name) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at`,
			o.Environment, o.Kind, o.Scope, o.Name, o.Document, created, t)
		return err
	})
	return o, err
}

// LogObject returns an object, or ErrNotFound.
func (db *DB) LogObject(ctx context.Context, environment, kind, scope, name string) (LogObject, error) {
	return scanLogObject(db.sql.QueryRowContext(ctx, `SELECT `+logObjectColumns+` FROM log_objects WHERE environment = ? AND kind = ? AND scope = ? AND name = ?`,
		environment, kind, scope, name).Scan)
}

// LogObjects lists the objects of a kind in all scopes by name, then scope.
func (db *DB) LogObjects(ctx context.Context, environment, kind string) ([]LogObject, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT `+logObjectColumns+` FROM log_objects WHERE environment = ? AND kind = ? ORDER BY name, scope`, environment, kind)
	return list(rows, err, func(r *sql.Rows) (LogObject, error) { return scanLogObject(r.Scan) })
}

// LogObjectEnvironments lists the environments that have objects of a kind.
func (db *DB) LogObjectEnvironments(ctx context.Context, kind string) ([]string, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT DISTINCT environment FROM log_objects WHERE kind = ? ORDER BY environment`, kind)
	return list(rows, err, func(r *sql.Rows) (string, error) {
		var env string
		return env, r.Scan(&env)
	})
}

// LogObjectsIn lists the objects of a scope by kind, then name.
func (db *DB) LogObjectsIn(ctx context.Context, environment, scope string) ([]LogObject, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT `+logObjectColumns+` FROM log_objects WHERE environment = ? AND scope = ? ORDER BY kind, name`, environment, scope)
	return list(rows, err, func(r *sql.Rows) (LogObject, error) { return scanLogObject(r.Scan) })
}

// DeleteLogObject removes an object, or returns ErrNotFound.
func (db *DB) DeleteLogObject(ctx context.Context, environment, kind, scope, name string) error {
	return changed(db.sql.ExecContext(ctx, `DELETE FROM log_objects WHERE environment = ? AND kind = ? AND scope = ? AND name = ?`, environment, kind, scope, name))
}
