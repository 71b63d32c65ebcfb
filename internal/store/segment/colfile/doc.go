// Package colfile writes and reads the files of the embedded store: plain Parquet files whose
// column chunks are made from and read into columnar memory, without a value or row in between.
//
// A file is, in this order: the magic "PAR1"; row groups, each a run of column chunks
// (dictionary page, then data pages V1 of PageRows rows, aligned in all columns of the group, so
// that page i of every chunk holds the same rows); Bloom filters and text filters; column and
// offset indexes; the index of this package with its trailer; Parquet's footer.
//
// Readers of Parquet use the footer. This package reads its own index, which is compact, has a
// checksum, and holds what a scan wants to know before it touches a page: the encodings, page
// sizes and checksums, the ranges of numbers, the places of the filters. The trailer of 16 bytes
// just ahead of the footer is the length (u32) and the CRC-32C (u32) of the zstd-compressed
// index and the magic "TREFIDX4".
//
// To read a few rows without the rest, pages are compressed in parts, each a frame of zstd; a
// reader of Parquet sees the frames one behind the other, as the format allows. The definition
// levels of a page in which some rows have no value are a frame of their own, so that a column that
// the wanted rows do not have costs no more than that; a large dictionary has a frame for every
// 64 KiB.
//
// The package knows neither queries nor datasets' meaning: a group's dataset is a number.
package colfile

import "errors"

// ErrCorrupt is wrapped by every error that tells of damage.
var ErrCorrupt = errors.New("corrupt segment")

// ErrVersion is wrapped by the error of Open for a file of another format version.
var ErrVersion = errors.New("format version is not known")

const (
	// PageRows is the number of rows of every page but the last of a chunk.
	PageRows = 8192
	// Version is the format version.
	Version = 4

	magic      = "PAR1"
	indexMagic = "TREFIDX4"
	trailerLen = 16
)
