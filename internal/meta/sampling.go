package meta

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// SamplingReport is what a client counted of a rule since its last report.
type SamplingReport struct {
	Rule, Client                string
	Requests, Borrowed, Sampled int64
}

// SamplingClient is a client that reports on a rule.
type SamplingClient struct {
	Client string
	Last   time.Time
	// Demand is requests a second.
	Demand float64
}

// SamplingWindow is what clients reported of a rule in a window that begins at a time.
type SamplingWindow struct {
	Rule                        string
	At                          time.Time
	Requests, Borrowed, Sampled int64
}

// ReportSampling adds reports to the windows that begin at a time, and returns the clients of the
// reported rules that reported since another time, by rule and in the order of their names. demand
// tells a client's demand of what it was, nil for a new client. A new client is not
// remembered when a rule has max of them.
func (db *DB) ReportSampling(ctx context.Context, window, now, since time.Time, max int, reports []SamplingReport, demand func(old *SamplingClient, r SamplingReport) float64) (map[string][]SamplingClient, error) {
	out := map[string][]SamplingClient{}
	err := db.tx(ctx, func(tx *sql.Tx) error {
		for _, r := range reports {
			if _, err := tx.ExecContext(ctx, `INSERT INTO sampling_windows (rule, at, requests, borrowed, sampled) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (rule, at) DO UPDATE SET requests = requests + excluded.requests, borrowed = borrowed + excluded.borrowed, sampled = sampled + excluded.sampled`,
				r.Rule, window.UnixNano(), r.Requests, r.Borrowed, r.Sampled); err != nil {
				return err
			}
			old, err := samplingClient(ctx, tx, r.Rule, r.Client)
			if err != nil {
				return err
			}
			if old != nil && old.Last.Before(since) {
				old = nil
			}
			var known int
			if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM sampling_clients WHERE rule = ? AND last_at >= ?`, r.Rule, since.UnixNano()).Scan(&known); err != nil {
				return err
			}
			if old == nil && known >= max {
				continue
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO sampling_clients (rule, client, last_at, demand) VALUES (?, ?, ?, ?)
				ON CONFLICT (rule, client) DO UPDATE SET last_at = excluded.last_at, demand = excluded.demand`, r.Rule, r.Client, now.UnixNano(), demand(old, r)); err != nil {
				return err
			}
		}
		for _, r := range reports {
			if out[r.Rule] != nil {
				continue
			}
			rows, err := tx.QueryContext(ctx, `SELECT client, last_at, demand FROM sampling_clients WHERE rule = ? AND last_at >= ? ORDER BY client`, r.Rule, since.UnixNano())
			if out[r.Rule], err = list(rows, err, func(r *sql.Rows) (SamplingClient, error) {
				var c SamplingClient
				var last int64
				err := r.Scan(&c.Client, &last, &c.Demand)
				c.Last = at(last)
				return c, err
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

func samplingClient(ctx context.Context, tx *sql.Tx, rule, client string) (*SamplingClient, error) {
	c := &SamplingClient{Client: client}
	var last int64
	err := one(tx.QueryRowContext(ctx, `SELECT last_at, demand FROM sampling_clients WHERE rule = ? AND client = ?`, rule, client).Scan(&last, &c.Demand))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	c.Last = at(last)
	return c, err
}

// SamplingWindows lists the windows since a time, the oldest first, then by rule.
func (db *DB) SamplingWindows(ctx context.Context, since time.Time) ([]SamplingWindow, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT rule, at, requests, borrowed, sampled FROM sampling_windows WHERE at >= ? ORDER BY at, rule`, since.UnixNano())
	return list(rows, err, func(r *sql.Rows) (SamplingWindow, error) {
		var w SamplingWindow
		var ns int64
		err := r.Scan(&w.Rule, &ns, &w.Requests, &w.Borrowed, &w.Sampled)
		w.At = at(ns)
		return w, err
	})
}

// SamplingBoost is a higher rate that a service has for a while.
type SamplingBoost struct {
	Rule, Service  string
	Rate           float64
	Given, Expires time.Time
}

// SamplingBoosts lists the boosts of a rule.
func (db *DB) SamplingBoosts(ctx context.Context, rule string) ([]SamplingBoost, error) {
	rows, err := db.sql.QueryContext(ctx, `SELECT rule, service, rate, given_at, expires_at FROM sampling_boosts WHERE rule = ? ORDER BY service`, rule)
	return list(rows, err, func(r *sql.Rows) (SamplingBoost, error) {
		var b SamplingBoost
		var given, expires int64
		err := r.Scan(&b.Rule, &b.Service, &b.Rate, &given, &expires)
		b.Given, b.Expires = at(given), at(expires)
		return b, err
	})
}

// PutSamplingBoost keeps a boost in place of an older one of the same rule and service.
func (db *DB) PutSamplingBoost(ctx context.Context, b SamplingBoost) error {
	_, err := db.sql.ExecContext(ctx, `INSERT INTO sampling_boosts (rule, service, rate, given_at, expires_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (rule, service) DO UPDATE SET rate = excluded.rate, given_at = excluded.given_at, expires_at = excluded.expires_at`,
		b.Rule, b.Service, b.Rate, b.Given.UnixNano(), b.Expires.UnixNano())
	return err
}

// ForgetSampling forgets windows that began, and clients that last reported, before a time.
func (db *DB) ForgetSampling(ctx context.Context, windows, clients time.Time) error {
	return db.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM sampling_windows WHERE at < ?`, windows.UnixNano()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM sampling_clients WHERE last_at < ?`, clients.UnixNano())
		return err
	})
}
