// Package xray is AWS X-Ray's front: the daemon's UDP port, the API, and what X-Ray computes
// from what it is sent. It speaks X-Ray's words: a trace is made of segments, a segment of
// subsegments, and both are written as documents (JSON objects).
//
// A complete document becomes one event for its top and one for every subsegment in it, in the
// dataset "xray" (convert.go); the top's event keeps the document's text. A document that is
// still in progress waits in package meta until its complete version comes or its deadline
// passes. Nothing else is stored: traces, inferred segments, summaries, root causes and service
// graphs are assembled from the events of a trace when they are asked for (trace.go), and the
// spans of OpenTelemetry and Honeycomb events with ids take part as if an X-Ray exporter had
// turned them into documents.
package xray
