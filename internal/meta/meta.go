// Package meta keeps what is not events: keys, datasets, log groups and streams, tags, X-Ray
// groups and sampling rules, settings, pending segments and saved queries, in SQLite.
//
// DB is concrete and holds every query of the program's metadata; no SQL stands elsewhere. Times
// are stored as nanoseconds since the epoch.
package meta

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// Errors that callers tell apart.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrFull     = errors.New("as many as there may be exist already")
)

//go:embed migrations/*.sql
var migrations embed.FS

// DB is the metadata. Its methods may be called at once from many goroutines.
type DB struct {
	sql *sql.DB
	// quick does not wait for the disk: what it commits survives the process, and the machine once
	// sql commits something or the log is taken over. It is for what can be made again.
	quick *sql.DB

	mu       sync.RWMutex // guards below
	datasets map[datasetKey]Dataset
}

// Open opens the SQLite file, making it and its folder when missing, and brings its schema up
// to date.
func Open(ctx context.Context, path string) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("open metadata: %w", err)
	}
	open := func(synchronous string) (*sql.DB, error) {
		dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: url.Values{"_pragma": {
			"journal_mode(WAL)", "synchronous(" + synchronous + ")", "busy_timeout(10000)", "foreign_keys(1)",
		}, "_txlock": {"immediate"}}.Encode()}
		db, err := sql.Open("sqlite", dsn.String())
		if err != nil {
			return nil, fmt.Errorf("open metadata %s: %w", path, err)
		}
		db.SetMaxOpenConns(4)
		return db, nil
	}
	db, err := open("FULL")
	if err != nil {
		return nil, err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	m, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err == nil {
		_, err = m.Up(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("migrate metadata %s: %w", path, err), db.Close())
	}
	quick, err := open("NORMAL")
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &DB{sql: db, quick: quick, datasets: map[datasetKey]Dataset{}}, nil
}

// Close releases the database.
func (db *DB) Close() error { return errors.Join(db.quick.Close(), db.sql.Close()) }

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error { return db.sql.PingContext(ctx) }

func now() int64 { return time.Now().UnixNano() }

func at(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// tx runs f in a transaction.
func (db *DB) tx(ctx context.Context, f func(*sql.Tx) error) error { return inTx(ctx, db.sql, f) }

func inTx(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// changed turns "no row was touched" into ErrNotFound.
func changed(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// inserted turns "the row was there" of an INSERT … ON CONFLICT DO NOTHING into ErrExists.
func inserted(res sql.Result, err error) error {
	if err := changed(res, err); errors.Is(err, ErrNotFound) {
		return ErrExists
	} else if err != nil {
		return err
	}
	return nil
}

// list collects rows; scan reads the current one.
func list[T any](rows *sql.Rows, err error, scan func(*sql.Rows) (T, error)) (out []T, _ error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// one turns sql.ErrNoRows into ErrNotFound.
func one(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}
