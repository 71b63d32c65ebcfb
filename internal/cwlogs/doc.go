// Package cwlogs speaks Amazon CloudWatch Logs: the JSON 1.1 API that SDKs, the AWS CLI,
// watchtower and log shippers call, and the readings that the console shows.
//
// A log group is a dataset of kind meta.Logs; a log event is one event of it, with the stream
// in the header, the text in the field "@message" and the leaves of a JSON message as fields
// (see convert.go). Deleted streams leave a tombstone in meta, by which every reading of this
// package passes over their events.
//
// Package filterpattern holds the language of FilterLogEvents and TestMetricFilter, package
// insights the query language of StartQuery.
package cwlogs
