// Package event is the model that every part of Trefoil shares: an Event is one timestamped
// set of typed fields, a Batch is a column-wise list of events, which a Builder makes.
//
// Vocabulary: spans, span events, links, X-Ray segments and subsegments and log lines are all
// events; the fields "meta.signal_type" and "meta.annotation_type" tell them apart. What every
// event has (its [Header]) has a fixed place; every other datum is a Field with a name and a
// typed Value. A name may carry values of several kinds in one dataset; each kind keeps its
// own column.
//
// The package knows no vendor, no storage and no query: it is imported by all of them.
package event
