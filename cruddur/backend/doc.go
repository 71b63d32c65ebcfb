// Package backend is Cruddur's HTTP API: the micro-blogging example of the
// tutorial, ported from Flask, with its traces, X-Ray segments and logs.
//
// Every answer of the tutorial's second week is mock data made per request.
// This port keeps those answers to the letter (sorted keys, times as Python's
// isoformat writes them, misspelt error names) and adds what the original
// lacks: posts, replies and messages are kept in memory until the process
// ends, unknown activities are 404, and no input makes a 500.
//
// # Traces
//
// Each request is an OpenTelemetry server span, named after its route, with an
// X-Ray compatible trace id. W3C and X-Ray headers are understood. Spans leave
// by OTLP/HTTP as the standard OTEL_* variables say.
//
// With Config.XRaySDK a request is also an X-Ray segment, sent over UDP by the
// AWS X-Ray SDK as in the tutorial. The two share one trace id, made by
// whichever side the request came from. A sampled segment is then the entry
// of the service: the request's OpenTelemetry span is its child, of kind
// internal, so that a backend which receives both counts the service once.
// A request that X-Ray does not sample keeps its server span as root.
package backend
