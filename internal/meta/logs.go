package meta

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// LogGroup is a CloudWatch Logs group: a dataset with settings of its own.
type LogGroup struct {
	Dataset
	Class              string
	KMSKeyID           string
	RetentionDays      int // 0: events never expire
	DeletionProtection bool
}

// LogStream is a stream of a log group.
type LogStream struct {
	Name    string
	Created time.Time
}

// CreateLogGroup makes a log group; g.Name, g.Environment and the settings count. ErrExists
// means that the name is taken.
func (db *DB) CreateLogGroup(ctx context.Context, g LogGroup, tags map[string]string) (LogGroup, error) {
	g.Kind, g.Slug, g.Created = Logs, g.Name, at(now())
	err := db.tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO datasets (environment, kind, slug, name, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			g.Environment, Logs, g.Slug, g.Name, g.Created.UnixNano())
		if err := inserted(res, err); err != nil {
			return err
		}
		id, err := res.LastInsertId()
		if err != nil {
			return err
		}
		g.ID = event.DatasetID(id)
		if _, err := tx.ExecContext(ctx, `INSERT INTO log_groups (dataset_id, class, kms_key_id, retention_days, deletion_protection) VALUES (?, ?, ?, ?, ?)`,
			g.ID, g.Class, g.KMSKeyID, g.RetentionDays, g.DeletionProtection); err != nil {
			return err
		}
		return putTags(ctx, tx, LogGroupResource(g.Environment, g.Name), tags)
	})
	return g, err
}

// LogGroupResource names a log group in the table of tags.
func LogGroupResource(environment, name string) string { return "logs/" + environment + "/" + name }

const logGroupQuery = `SELECT d.id, d.environment, d.kind, d.slug, d.name, d.created_at, g.class, g.kms_key_id, g.retention_days, g.deletion_protection
	FROM log_groups g JOIN datasets d ON d.id = g.dataset_id `

func scanLogGroup(scan func(...any) error) (LogGroup, error) {
	var g LogGroup
	var created int64
	err := scan(&g.ID, &g.Environment, &g.Kind, &g.Slug, &g.Name, &created, &g.Class, &g.KMSKeyID, &g.RetentionDays, &g.DeletionProtection)
	g.Created = at(created)
	return g, one(err)
}

// LogGroup returns a log group, or ErrNotFound.
func (db *DB) LogGroup(ctx context.Context, environment, name string) (LogGroup, error) {
	return scanLogGroup(db.sql.QueryRowContext(ctx, logGroupQuery+`WHERE d.environment = ? AND d.name = ?`, environment, name).Scan)
}

// LogGroups lists the log groups of an environment by the bytes of their names.
func (db *DB) LogGroups(ctx context.Context, environment string) ([]LogGroup, error) {
	rows, err := db.sql.QueryContext(ctx, logGroupQuery+`WHERE d.environment = ? ORDER BY d.name`, environment)
	return list(rows, err, func(r *sql.Rows) (LogGroup, error) { return scanLogGroup(r.Scan) })
}

// AllLogGroups lists the log groups of every environment.
func (db *DB) AllLogGroups(ctx context.Context) ([]LogGroup, error) {
	rows, err := db.sql.QueryContext(ctx, logGroupQuery+`ORDER BY d.id`)
	return list(rows, err, func(r *sql.Rows) (LogGroup, error) { return scanLogGroup(r.Scan) })
}

// SetLogGroupProtection says whether a log group may not be deleted.
func (db *DB) SetLogGroupProtection(ctx context.Context, id event.DatasetID, protected bool) error {
	return changed(db.sql.ExecContext(ctx, `UPDATE log_groups SET deletion_protection = ? WHERE dataset_id = ?`, protected, id))
}

// SetLogGroupKMSKey keeps the id of a log group's key; empty is none.
func (db *DB) SetLogGroupKMSKey(ctx context.Context, id event.DatasetID, key string) error {
	return changed(db.sql.ExecContext(ctx, `UPDATE log_groups SET kms_key_id = ? WHERE dataset_id = ?`, key, id))
}

// LogStreamCounts returns how many streams each group of an environment has; groups without
// streams are left out.
func (db *DB) LogStreamCounts(ctx context.Context, environment string) (map[event.DatasetID]int, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT s.dataset_id, count(*) FROM log_streams s JOIN datasets d ON d.id = s.dataset_id
		WHERE d.environment = ? GROUP BY s.dataset_id`, environment)
	type count struct {
		id event.DatasetID
		n  int
	}
	all, err := list(rows, err, func(r *sql.Rows) (count, error) {
		var c count
		return c, r.Scan(&c.id, &c.n)
	})
	out := map[event.DatasetID]int{}
	for _, c := range all {
		out[c.id] = c.n
	}
	return out, err
}

// DeleteLogGroup forgets a log group with its streams, tags and objects. The caller drops its events.
func (db *DB) DeleteLogGroup(ctx context.Context, g LogGroup) error {
	if _, err := db.sql.ExecContext(ctx, `DELETE FROM tags WHERE resource = ?`, LogGroupResource(g.Environment, g.Name)); err != nil {
		return err
	}
	if _, err := db.sql.ExecContext(ctx, `DELETE FROM log_objects WHERE environment = ? AND scope = ?`, g.Environment, g.Name); err != nil {
		return err
	}
	return db.DeleteDataset(ctx, g.ID) // streams and settings go with it
}

// SetLogGroupRetention sets the days that events are kept; 0 is for ever.
func (db *DB) SetLogGroupRetention(ctx context.Context, id event.DatasetID, days int) error {
	return changed(db.sql.ExecContext(ctx, `UPDATE log_groups SET retention_days = ? WHERE dataset_id = ?`, days, id))
}

// CreateLogStream makes a stream; ErrExists means that the name is taken.
func (db *DB) CreateLogStream(ctx context.Context, group event.DatasetID, name string) error {
	return inserted(db.sql.ExecContext(ctx, `INSERT INTO log_streams (dataset_id, name, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, group, name, now()))
}

// LogStreamExists reports whether a group has a stream.
func (db *DB) LogStreamExists(ctx context.Context, group event.DatasetID, name string) (bool, error) {
	var n int
	err := db.sql.QueryRowContext(ctx, `SELECT 1 FROM log_streams WHERE dataset_id = ? AND name = ?`, group, name).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// LogStreams lists the streams of a group by the bytes of their names.
func (db *DB) LogStreams(ctx context.Context, group event.DatasetID) ([]LogStream, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT name, created_at FROM log_streams WHERE dataset_id = ? ORDER BY name`, group)
	return list(rows, err, func(r *sql.Rows) (LogStream, error) {
		var s LogStream
		var created int64
		err := r.Scan(&s.Name, &created)
		s.Created = at(created)
		return s, err
	})
}

// DeletedStream says which events of a group belong to a stream that was deleted: those of
// its name up to LastSeq. A later stream of the name has events behind LastSeq only.
type DeletedStream struct {
	Group   event.DatasetID
	Name    string
	LastSeq uint64
	// LastTime is the largest $time of those events; zero when there are none.
	LastTime time.Time
}

// DeleteLogStream forgets a stream, or returns ErrNotFound. When it had events, they are
// remembered as deleted.
func (db *DB) DeleteLogStream(ctx context.Context, d DeletedStream) error {
	return db.tx(ctx, func(tx *sql.Tx) error {
		if err := changed(tx.ExecContext(ctx, `DELETE FROM log_streams WHERE dataset_id = ? AND name = ?`, d.Group, d.Name)); err != nil {
			return err
		}
		if d.LastTime.IsZero() {
			return nil
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO deleted_streams (dataset_id, name, last_seq, last_time) VALUES (?, ?, ?, ?)
			ON CONFLICT (dataset_id, name) DO UPDATE SET last_seq = excluded.last_seq, last_time = max(last_time, excluded.last_time)`,
			d.Group, d.Name, int64(d.LastSeq), d.LastTime.UnixNano())
		return err
	})
}

// DeletedStreams lists the deleted streams of all groups of an environment.
func (db *DB) DeletedStreams(ctx context.Context, environment string) ([]DeletedStream, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT s.dataset_id, s.name, s.last_seq, s.last_time FROM deleted_streams s
		JOIN datasets d ON d.id = s.dataset_id WHERE d.environment = ? ORDER BY s.dataset_id, s.name`, environment)
	return list(rows, err, func(r *sql.Rows) (DeletedStream, error) {
		var d DeletedStream
		var seq, last int64
		err := r.Scan(&d.Group, &d.Name, &seq, &last)
		d.LastSeq, d.LastTime = uint64(seq), at(last)
		return d, err
	})
}

// Tags returns the tags of a resource; none is an empty map.
func (db *DB) Tags(ctx context.Context, resource string) (map[string]string, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT key, value FROM tags WHERE resource = ?`, resource)
	pairs, err := list(rows, err, func(r *sql.Rows) ([2]string, error) {
		var p [2]string
		return p, r.Scan(&p[0], &p[1])
	})
	tags := map[string]string{}
	for _, p := range pairs {
		tags[p[0]] = p[1]
	}
	return tags, err
}

// LogGroupTags returns the values of a tag of the log groups of an environment that have it, by the
// names of the groups.
func (db *DB) LogGroupTags(ctx context.Context, environment, key string) (map[string]string, error) {
	prefix := LogGroupResource(environment, "")
	rows, err := db.sql.QueryContext(ctx, `SELECT resource, value FROM tags WHERE key = ? AND resource >= ? AND resource < ?`, key, prefix, prefix+"\U0010ffff")
	pairs, err := list(rows, err, func(r *sql.Rows) ([2]string, error) {
		var p [2]string
		return p, r.Scan(&p[0], &p[1])
	})
	values := map[string]string{}
	for _, p := range pairs {
		values[p[0][len(prefix):]] = p[1]
	}
	return values, err
}

// PutTags adds tags to a resource, or replaces their values.
func (db *DB) PutTags(ctx context.Context, resource string, tags map[string]string) error {
	return db.tx(ctx, func(tx *sql.Tx) error { return putTags(ctx, tx, resource, tags) })
}

func putTags(ctx context.Context, tx *sql.Tx, resource string, tags map[string]string) error {
	for k, v := range tags {
		if _, err := tx.ExecContext(ctx, `INSERT INTO tags (resource, key, value) VALUES (?, ?, ?) ON CONFLICT (resource, key) DO UPDATE SET value = excluded.value`, resource, k, v); err != nil {
			return err
		}
	}
	return nil
}

// DeleteTags removes tags of a resource; keys that it does not have are passed over.
func (db *DB) DeleteTags(ctx context.Context, resource string, keys ...string) error {
	return db.tx(ctx, func(tx *sql.Tx) error {
		for _, k := range keys {
			if _, err := tx.ExecContext(ctx, `DELETE FROM tags WHERE resource = ? AND key = ?`, resource, k); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteAllTags removes the tags of a resource that goes.
func (db *DB) DeleteAllTags(ctx context.Context, resource string) error {
	_, err := db.sql.ExecContext(ctx, `DELETE FROM tags WHERE resource = ?`, resource)
	return err
}
