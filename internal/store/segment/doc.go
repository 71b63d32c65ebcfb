// Package segment is the embedded store: a write-ahead log, immutable batches in memory (the
// head), and segments, which are Parquet files.
//
// Layout of a data folder:
//
//	LOCK                     held by the process that owns the folder
//	wal/0000000000000007.wal  frames of batches, appended and fdatasynced; a new file at each flush
//	segments/0000000000000007.parquet
//	catalog                  which segments are in use, and which log files they cover
//	dropped                  the ids of dropped datasets
//	quarantine/              files that could not be read, kept for inspection
//
// Append writes one frame for all the batches of a call, syncs it, and only then puts them
// into the head: what is acknowledged is durable and visible. A flush begins a new log file,
// writes the head as one segment (temporary name, fsync, rename, fsync of the folder), replaces
// the catalog, and then removes the log files that the segments cover. A segment that the catalog
// does not name is the rest of an interrupted step. Compaction puts merged segments in the place
// of others in the same way, so that neither a query nor a crash sees an event twice.
//
// A segment (see package colfile) has a row group for each dataset in it (more for large ones),
// sorted by time. Each field name and kind is a column; beyond maxColumns the rarest share the
// column _overflow. A query is planned (plan.go), its filter compiled (predicate.go), and row
// groups and batches of the head are scanned page by page in parallel (scan.go, unit.go), into
// groups (aggregate.go, group.go, numeric.go), the first rows of an order (top.go), or the
// pipeline of package query. What none of these has a form for goes through query.Eval.
package segment
