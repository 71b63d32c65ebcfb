package meta

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// Kind is the vendor whose data a dataset holds; names are unique within a kind.
type Kind string

// The kinds of datasets.
const (
	Honeycomb Kind = "honeycomb"
	XRay      Kind = "xray"
	Logs      Kind = "logs"
	Metrics   Kind = "metrics"
)

// Dataset is a named home of events.
type Dataset struct {
	ID          event.DatasetID
	Environment string
	Kind        Kind
	Slug        string
	Name        string
	Created     time.Time
}

type datasetKey struct {
	environment string
	kind        Kind
	slug        string
}

// Slug returns the slug of a dataset's name: lower case, every character outside
// [a-z0-9_~.-] a dash. Log groups and X-Ray datasets are known by their names as they are.
func Slug(kind Kind, name string) string {
	if kind != Honeycomb {
		return name
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_', r == '~', r == '.', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, name)
}

// EnsureDataset returns the dataset of a name, making it when it is missing. Asking for a
// known one costs no query.
func (db *DB) EnsureDataset(ctx context.Context, environment string, kind Kind, name string) (Dataset, error) {
	key := datasetKey{environment, kind, Slug(kind, name)}
	db.mu.RLock()
	ds, ok := db.datasets[key]
	db.mu.RUnlock()
	if ok {
		return ds, nil
	}
	_, err := db.sql.ExecContext(ctx, `INSERT INTO datasets (environment, kind, slug, name, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		environment, kind, key.slug, name, now())
	if err != nil {
		return Dataset{}, err
	}
	return db.Dataset(ctx, environment, kind, key.slug)
}

const datasetColumns = `id, environment, kind, slug, name, created_at`

func scanDataset(scan func(...any) error) (Dataset, error) {
	var d Dataset
	var created int64
	err := scan(&d.ID, &d.Environment, &d.Kind, &d.Slug, &d.Name, &created)
	d.Created = at(created)
	return d, one(err)
}

// Dataset returns the dataset of a slug, or ErrNotFound.
func (db *DB) Dataset(ctx context.Context, environment string, kind Kind, slug string) (Dataset, error) {
	key := datasetKey{environment, kind, Slug(kind, slug)}
	db.mu.RLock()
	ds, ok := db.datasets[key]
	db.mu.RUnlock()
	if ok {
		return ds, nil
	}
	// The lock is held over the query, so that a deletion can not come between it and the cache.
	db.mu.Lock()
	defer db.mu.Unlock()
	ds, err := scanDataset(db.sql.QueryRowContext(ctx, `SELECT `+datasetColumns+` FROM datasets WHERE environment = ? AND kind = ? AND slug = ?`,
		key.environment, key.kind, key.slug).Scan)
	if err == nil {
		db.datasets[key] = ds
	}
	return ds, err
}

// Datasets lists the datasets of an environment by kind and name; with kinds, only those.
func (db *DB) Datasets(ctx context.Context, environment string, kinds ...Kind) ([]Dataset, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT `+datasetColumns+` FROM datasets WHERE environment = ? ORDER BY kind, name`, environment)
	all, err := list(rows, err, func(r *sql.Rows) (Dataset, error) { return scanDataset(r.Scan) })
	if err != nil || len(kinds) == 0 {
		return all, err
	}
	out := all[:0]
	for _, d := range all {
		for _, k := range kinds {
			if d.Kind == k {
				out = append(out, d)
			}
		}
	}
	return out, nil
}

// DeleteDataset forgets a dataset; its id is never given again. The caller drops its events.
func (db *DB) DeleteDataset(ctx context.Context, id event.DatasetID) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := changed(db.sql.ExecContext(ctx, `DELETE FROM datasets WHERE id = ?`, id)); err != nil {
		return err
	}
	for k, d := range db.datasets {
		if d.ID == id {
			delete(db.datasets, k)
		}
	}
	return nil
}
