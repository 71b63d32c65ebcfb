// Package segment is the embedded store: a write-ahead log, immutable batches in memory (the
// head), and segments, which are Parquet files.
//
// Layout of a data folder:
//
//	LOCK                     held by the process that owns the folder
//	wal/0000000000000007.wal  frames of batches, appended and fdatasynced; a new file at each flush
//	segments/0000000000000007.parquet
//	dropped                  the ids of dropped datasets
//	quarantine/              files that could not be read, kept for inspection
//
// Append writes one frame for all the batches of a call, syncs it, and only then puts them
// into the head: what is acknowledged is durable and visible. A flush begins a new log file,
// writes the head as one segment (temporary name, fsync, rename, fsync of the folder) and then
// removes the log files that it covers. A segment records the number of the newest log file
// that it covers, so that a crash between the two steps shows no event twice.
//
// A segment has a row group for each dataset in it (more for large ones), sorted by time. Each
// field name and kind is a column; beyond maxColumns the rarest share the column _overflow.
// Row groups are pruned by dataset, time range and, for a trace id, by bloom filter. The
// key-value metadata "trefoil" describes columns and row groups as JSON.
package segment
