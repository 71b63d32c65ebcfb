-- +goose Up
-- The service graph of the traces that began in a minute (since the epoch). spans are the rows
-- with a trace id in the minutes from this one on that these traces reach over.
CREATE TABLE xray_minutes (
    environment TEXT NOT NULL,
    minute      INTEGER NOT NULL,
    reach       INTEGER NOT NULL,
    spans       INTEGER NOT NULL,
    graph       BLOB NOT NULL,
    PRIMARY KEY (environment, minute)
);
-- Kept minutes know all rows up to this Seq.
CREATE TABLE xray_progress (
    environment TEXT PRIMARY KEY,
    seq         INTEGER NOT NULL
);
CREATE TABLE xray_retrievals (
    token       TEXT PRIMARY KEY,
    environment TEXT NOT NULL,
    traces      TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    cancelled   INTEGER NOT NULL
);
-- What clients reported of a rule in ten seconds (since the epoch).
CREATE TABLE sampling_windows (
    rule     TEXT NOT NULL,
    at       INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    borrowed INTEGER NOT NULL,
    sampled  INTEGER NOT NULL,
    PRIMARY KEY (rule, at)
);
CREATE TABLE sampling_clients (
    rule    TEXT NOT NULL,
    client  TEXT NOT NULL,
    last_at INTEGER NOT NULL,
    demand  REAL NOT NULL,
    PRIMARY KEY (rule, client)
);
CREATE TABLE sampling_boosts (
    rule       TEXT NOT NULL,
    service    TEXT NOT NULL,
    rate       REAL NOT NULL,
    given_at   INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (rule, service)
);
-- The service graph of a group's traces that began in a minute, and the nodes that failed more
-- than was to be expected.
CREATE TABLE xray_insight_minutes (
    environment TEXT NOT NULL,
    group_name  TEXT NOT NULL,
    minute      INTEGER NOT NULL,
    anomalous   TEXT NOT NULL,
    graph       BLOB NOT NULL,
    PRIMARY KEY (environment, group_name, minute)
);
-- ended_at is 0 while an insight is active.
CREATE TABLE xray_insights (
    id          TEXT PRIMARY KEY,
    environment TEXT NOT NULL,
    group_name  TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER NOT NULL,
    insight     TEXT NOT NULL
);
CREATE INDEX xray_insights_by_time ON xray_insights (environment, started_at);
CREATE TABLE xray_insight_events (
    insight_id TEXT NOT NULL REFERENCES xray_insights (id) ON DELETE CASCADE,
    at         INTEGER NOT NULL,
    event      TEXT NOT NULL,
    PRIMARY KEY (insight_id, at)
);
