-- +goose Up
DROP TABLE pending_segments;

CREATE TABLE pending_segments (
    environment TEXT NOT NULL,
    trace_id    TEXT NOT NULL,
    segment_id  TEXT NOT NULL,
    document    TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (environment, trace_id, segment_id)
);
