-- +goose Up
CREATE TABLE deleted_streams (
    dataset_id INTEGER NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    last_seq   INTEGER NOT NULL,
    last_time  INTEGER NOT NULL,
    PRIMARY KEY (dataset_id, name)
);
