package otlp

import (
	"encoding/base64"
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"
)

const (
	// maxString is the longest text of a field; longer ones are cut, as Honeycomb does.
	maxString = 65_535
	// maxFlatten is how many levels of a map become dotted names; deeper ones become JSON.
	maxFlatten = 5
)

// statusError is STATUS_CODE_ERROR.
const statusError = 2

// kinds are the words for the values of SpanKind.
var kinds = [...]string{"unspecified", "internal", "server", "client", "producer", "consumer"}

var exceptionFields = [...]string{"exception.message", "exception.type", "exception.stacktrace", "exception.escaped"}

var errID = errors.New("length of an id is neither 0 nor what it has to be")

// instrumentation lists the prefixes of scope names that mark instrumentation libraries.
var instrumentation = []string{
	"io.opentelemetry", "opentelemetry.instrumentation", "OpenTelemetry.Instrumentation", "OpenTelemetry::Instrumentation",
	"go.opentelemetry.io/contrib/instrumentation", "@opentelemetry/instrumentation", "io.opentelemetry.contrib.php",
	"github.com/open-telemetry/opentelemetry-collector", "@honeycombio/",
}

// constant lends the bytes of a text, which nobody writes to.
func constant(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// isRate reports whether a name is one that carries the sample rate: sampleRate, SampleRate.
func isRate(name []byte) bool {
	return len(name) == len("sampleRate") && name[0]|0x20 == 's' && string(name[1:]) == "ampleRate"
}

// rate looks for the sample rate in the attributes of the span or log, of its scope and of its
// resource, then in the trace state.
func (d *decoder) rate(state []byte) uint32 {
	if r := rateIn(d.attrs); r != 0 {
		return r
	}
	if d.scopeRate != 0 {
		return d.scopeRate
	}
	if d.resourceRate != 0 {
		return d.resourceRate
	}
	if len(state) == 0 {
		return 1
	}
	return thresholdRate(string(state), d.random)
}

// rateIn returns the sample rate that attributes carry, 0 when they carry none.
func rateIn(attrs []keyValue) uint32 {
	var rate uint32
	for i := range attrs {
		if key := attrs[i].key; isRate(key) {
			if key[0] == 's' {
				return rateOf(attrs[i].value)
			}
			if rate == 0 {
				rate = rateOf(attrs[i].value)
			}
		}
	}
	return rate
}

func rateOf(v value) uint32 {
	f := 0.0
	switch v.kind {
	case integer:
		f = float64(int64(v.num))
	case double:
		f = math.Float64frombits(v.num)
	case text:
		f, _ = strconv.ParseFloat(string(v.data), 64)
	}
	if math.IsNaN(f) || f < 0.5 {
		return 1
	}
	return uint32(min(math.Round(f), math.MaxInt32))
}

// thresholdRate reads the sampling threshold of a W3C trace state: ot=th:hex, or th=hex. A rate
// that is not whole is rounded up as often as it should be; random returns numbers in [0,1).
func thresholdRate(traceState string, random func() float64) uint32 {
	for entry := range strings.FieldsFuncSeq(traceState, func(r rune) bool { return r == ',' || r == ';' }) {
		entry = strings.TrimSpace(entry)
		entry = strings.TrimPrefix(entry, "ot=")
		hex, ok := strings.CutPrefix(entry, "th:")
		if !ok {
			hex, ok = strings.CutPrefix(entry, "th=")
		}
		if !ok || hex == "" || len(hex) > 14 {
			continue
		}
		th, err := strconv.ParseUint(hex+strings.Repeat("0", 14-len(hex)), 16, 64)
		if err != nil {
			continue
		}
		rate := float64(1<<56) / (float64(1<<56) - float64(th))
		if rate < 100 {
			whole := math.Floor(rate)
			if random() < rate-whole {
				whole++
			}
			rate = whole
		}
		return uint32(max(1, min(math.Round(rate), math.MaxInt32)))
	}
	return 1
}

// cut shortens a text to what a field may have, at a character's end.
func cut(s []byte) []byte {
	if len(s) <= maxString {
		return s
	}
	n := maxString
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

// appendJSON renders a value as Honeycomb does: no HTML escaping, bytes as base64.
func (d *decoder) appendJSON(dst []byte, v *value) []byte {
	switch v.kind {
	case object, array:
		open, end := byte('{'), byte('}')
		if v.kind == array {
			open, end = '[', ']'
		}
		first := true
		f := fields{buf: v.data}
		for dst = append(dst, open); f.next(); {
			if f.num != 1 {
				continue
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			var kv keyValue
			if v.kind == array {
				d.value(f.data(), &kv.value, trusted)
			} else {
				d.keyValue(f.data(), &kv, trusted)
				dst = append(appendQuoted(dst, kv.key), ':')
			}
			dst = d.appendJSON(dst, &kv.value)
		}
		return append(dst, end)
	case text:
		return appendQuoted(dst, v.data)
	case blob:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), v.data), '"')
	case integer:
		return strconv.AppendInt(dst, int64(v.num), 10)
	case double:
		if f := math.Float64frombits(v.num); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return strconv.AppendFloat(dst, f, 'g', -1, 64)
		}
	case boolean:
		return strconv.AppendBool(dst, v.num != 0)
	}
	return append(dst, "null"...)
}

// appendQuoted appends a JSON string. Beside what must be, U+2028 and U+2029 are escaped, as
// encoding/json does.
func appendQuoted(dst, s []byte) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(s[i:])
			switch {
			case r == utf8.RuneError && n == 1:
				dst = append(dst, `\ufffd`...)
			case r == '\u2028' || r == '\u2029':
				dst = append(append(dst, `\u202`...), digits[r&0xf])
			default:
				dst = append(dst, s[i:i+n]...)
			}
			i += n
			continue
		}
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ':
			dst = append(dst, c)
		case c == '\b':
			dst = append(dst, '\\', 'b')
		case c == '\f':
			dst = append(dst, '\\', 'f')
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xf])
		}
		i++
	}
	return append(dst, '"')
}

// nanos turns an OTLP time into the store's; times beyond the year 2262 are cut to it.
func nanos(t uint64) int64 { return int64(min(t, math.MaxInt64)) }

func millis(from, to int64) (ms float64, valid bool) {
	if to < from {
		return 0, false
	}
	return float64(to-from) / 1e6, true
}

// severity returns Honeycomb's word for a SeverityNumber.
func severity(n int32) string {
	switch {
	case n >= 1 && n <= 4:
		return "trace"
	case n >= 5 && n <= 8:
		return "debug"
	case n >= 9 && n <= 12:
		return "info"
	case n >= 13 && n <= 16:
		return "warn"
	case n >= 17 && n <= 20:
		return "error"
	case n >= 21 && n <= 24:
		return "fatal"
	default:
		return "unspecified"
	}
}
