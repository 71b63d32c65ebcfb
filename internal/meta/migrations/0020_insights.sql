-- +goose Up
CREATE TABLE insights_runs (
    id          TEXT PRIMARY KEY,
    environment TEXT NOT NULL,
    account     TEXT NOT NULL,
    query       TEXT NOT NULL,
    log_groups  TEXT NOT NULL,
    status      TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    ended_at    INTEGER NOT NULL,
    statistics  TEXT NOT NULL,
    error       TEXT NOT NULL,
    rows        INTEGER NOT NULL,
    bytes       INTEGER NOT NULL
);
CREATE TABLE insights_results (
    run_id    TEXT NOT NULL REFERENCES insights_runs (id) ON DELETE CASCADE,
    first_row INTEGER NOT NULL,
    body      BLOB NOT NULL,
    PRIMARY KEY (run_id, first_row)
);
CREATE TABLE query_definitions (
    id          TEXT PRIMARY KEY,
    environment TEXT NOT NULL,
    name        TEXT NOT NULL,
    definition  TEXT NOT NULL,
    modified_at INTEGER NOT NULL
);
CREATE TABLE lookup_tables (
    environment TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    kms_key_id  TEXT NOT NULL,
    fields      TEXT NOT NULL,
    records     INTEGER NOT NULL,
    body        TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (environment, name)
);
CREATE TABLE scheduled_queries (
    environment    TEXT NOT NULL,
    name           TEXT NOT NULL,
    id             TEXT NOT NULL,
    definition     TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    triggered_at   INTEGER NOT NULL,
    last_execution TEXT NOT NULL,
    PRIMARY KEY (environment, name)
);
CREATE TABLE scheduled_runs (
    environment  TEXT NOT NULL,
    name         TEXT NOT NULL,
    query_id     TEXT NOT NULL,
    status       TEXT NOT NULL,
    triggered_at INTEGER NOT NULL,
    error        TEXT NOT NULL,
    destinations TEXT NOT NULL,
    PRIMARY KEY (environment, name, triggered_at, query_id),
    FOREIGN KEY (environment, name) REFERENCES scheduled_queries (environment, name) ON DELETE CASCADE
);
