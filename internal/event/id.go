package event

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// TraceID is the 16-byte id of a trace. The W3C form (32 hex digits) and the X-Ray form
// (1-8hex-24hex) are two spellings of it. The zero TraceID means "none".
type TraceID [16]byte

// SpanID is the 8-byte id of a span, segment or subsegment. The zero SpanID means "none".
type SpanID [8]byte

// IsZero reports whether id is the zero id.
func (id TraceID) IsZero() bool { return id == TraceID{} }

// String returns the 32 lower-case hex digits of id, or "" for the zero id.
func (id TraceID) String() string {
	if id.IsZero() {
		return ""
	}
	return hex.EncodeToString(id[:])
}

// XRay returns the X-Ray spelling of id, or "" for the zero id.
func (id TraceID) XRay() string {
	if id.IsZero() {
		return ""
	}
	s := hex.EncodeToString(id[:])
	return "1-" + s[:8] + "-" + s[8:]
}

// Seconds returns the first four bytes as a number: in X-Ray ids the epoch second at which
// the trace began, in W3C ids a random number.
func (id TraceID) Seconds() int64 {
	return int64(id[0])<<24 | int64(id[1])<<16 | int64(id[2])<<8 | int64(id[3])
}

// IsZero reports whether id is the zero id.
func (id SpanID) IsZero() bool { return id == SpanID{} }

// String returns the 16 lower-case hex digits of id, or "" for the zero id.
func (id SpanID) String() string {
	if id.IsZero() {
		return ""
	}
	return hex.EncodeToString(id[:])
}

// ParseTraceID reads any spelling of a trace id: 32 hex digits, 16 hex digits (the high half
// is zero), a dashed UUID, or the X-Ray form. Letters may be of either case. An all-zero id
// is an error.
func ParseTraceID(s string) (TraceID, error) {
	var id TraceID
	digits := s
	switch {
	case len(s) == 35 && s[0] == '1' && s[1] == '-' && s[10] == '-':
		digits = s[2:10] + s[11:]
	case len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-':
		digits = strings.ReplaceAll(s, "-", "")
	case len(s) == 16:
		digits = "0000000000000000" + s
	}
	if len(digits) != 32 {
		return id, fmt.Errorf("parse trace id %q: want 32 hex digits or 1-8hex-24hex", clip(s))
	}
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil {
		return TraceID{}, fmt.Errorf("parse trace id %q: %w", clip(s), err)
	}
	if id.IsZero() {
		return id, fmt.Errorf("parse trace id %q: all zero", clip(s))
	}
	return id, nil
}

// ParseSpanID reads 16 hex digits of either case. An all-zero id is an error.
func ParseSpanID(s string) (SpanID, error) {
	var id SpanID
	if len(s) != 16 {
		return id, fmt.Errorf("parse span id %q: want 16 hex digits", clip(s))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return SpanID{}, fmt.Errorf("parse span id %q: %w", clip(s), err)
	}
	if id.IsZero() {
		return id, fmt.Errorf("parse span id %q: all zero", clip(s))
	}
	return id, nil
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
