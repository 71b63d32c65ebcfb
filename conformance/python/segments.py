"""Reads the segments of a data folder as docs/storage.md says, with DuckDB, pandas and pyarrow, and
prints rows, sums and counts by dataset as JSON, for segments_test.go to compare with the server's."""

import json
import pathlib
import sqlite3
import sys

import duckdb
import pandas
import pyarrow
import pyarrow.dataset
import pyarrow.parquet

data = pathlib.Path(sys.argv[1])
segments = data / "events" / "segments"
names = dict(sqlite3.connect(f"file:{data / 'meta.db'}?mode=ro", uri=True).execute("SELECT id, name FROM datasets"))
files = sorted(segments.glob("*.parquet"))
# The columns of a folder are those of all its files.
schema = pyarrow.unify_schemas([pyarrow.parquet.read_schema(f) for f in files], promote_options="permissive")


def numbers(field):
    """The columns of a field's numbers: a field with several kinds in a file has one for each."""
    return [c for c in (field, field + "#integer", field + "#float") if c in schema.names]


fields = ["n", "annotation.n", "duration_ms", "mixed"]


def by_duckdb():
    sums = [" + ".join(f'coalesce(sum("{c}"), 0)' for c in numbers(f)) for f in fields]
    sql = f"""SELECT _dataset, count(*), {', '.join(sums)}, count(DISTINCT name), count(DISTINCT _trace_id)
        FROM read_parquet('{segments}/*.parquet', union_by_name=true) GROUP BY _dataset"""
    return duckdb.sql(sql).fetchall()


def by_frame(frame):
    out = []
    for dataset, part in frame.groupby("_dataset"):
        sums = [sum(part[c].sum() for c in numbers(f)) for f in fields]
        out.append([dataset, len(part), *sums, part["name"].nunique(), part["_trace_id"].nunique()])
    return out


def by_pandas():
    return by_frame(pandas.concat(pandas.read_parquet(f) for f in files))


def by_pandas_folder():
    return by_frame(pandas.read_parquet(segments, schema=schema))


def by_pyarrow():
    columns = ["_dataset", "name", "_trace_id"] + [c for f in fields for c in numbers(f)]
    return by_frame(pyarrow.dataset.dataset(files, schema=schema).to_table(columns=columns).to_pandas())


keys = ["rows", *fields, "names", "traces"]
answer = {}
for reader in (by_duckdb, by_pandas, by_pandas_folder, by_pyarrow):
    answer[reader.__name__] = {names[int(r[0])]: {k: float(v) for k, v in zip(keys, r[1:])} for r in reader()}
print(json.dumps(answer))
