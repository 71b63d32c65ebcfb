-- +goose Up
CREATE TABLE keys (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    environment TEXT NOT NULL,
    access_key_id TEXT NOT NULL UNIQUE,
    hash        TEXT NOT NULL UNIQUE,
    created_at  INTEGER NOT NULL,
    revoked_at  INTEGER
);
CREATE TABLE datasets (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    environment TEXT NOT NULL,
    kind        TEXT NOT NULL,
    slug        TEXT NOT NULL,
    name        TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    UNIQUE (environment, kind, slug)
);
CREATE TABLE log_groups (
    dataset_id          INTEGER PRIMARY KEY REFERENCES datasets (id) ON DELETE CASCADE,
    class               TEXT NOT NULL,
    kms_key_id          TEXT NOT NULL,
    retention_days      INTEGER NOT NULL,
    deletion_protection INTEGER NOT NULL
);
CREATE TABLE log_streams (
    dataset_id INTEGER NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (dataset_id, name)
);
CREATE TABLE tags (
    resource TEXT NOT NULL,
    key      TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (resource, key)
);
CREATE TABLE xray_groups (
    name          TEXT PRIMARY KEY,
    unique_id     TEXT NOT NULL,
    filter        TEXT NOT NULL,
    insights      INTEGER NOT NULL,
    notifications INTEGER NOT NULL
);
CREATE TABLE sampling_rules (
    name        TEXT PRIMARY KEY,
    rule        TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
);
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE pending_segments (
    trace_id    TEXT NOT NULL,
    segment_id  TEXT NOT NULL,
    document    TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (trace_id, segment_id)
);
CREATE TABLE queries (
    id         TEXT PRIMARY KEY,
    dataset    TEXT NOT NULL,
    spec       TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
