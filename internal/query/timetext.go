package query

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones are known on machines that have none, too

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// ParseTime reads the text of X as a time by a pattern of Java's DateTimeFormatter and gives
// milliseconds since the epoch, missing when the text is not of that form. What the pattern does
// not name is that of 1970-01-01T00:00:00; In is the zone of texts that name none.
type ParseTime struct {
	X       Expr
	Pattern string
	In      *time.Location
}

// FormatTime writes X, milliseconds since the epoch, by a format of strftime in the zone In.
type FormatTime struct {
	X      Expr
	Format string
	In     *time.Location
}

// CheckTimePattern reports what ParseTime can not read in a pattern.
func CheckTimePattern(pattern string) error {
	for rest := pattern; rest != ""; {
		f, after, err := timeField(rest)
		if err != nil {
			return err
		}
		if f.letter != 0 && !strings.ContainsRune("yuMLdDHhkKmsSaEzVZXx", rune(f.letter)) {
			return fmt.Errorf("the letter %q of the pattern has no meaning here", f.letter)
		}
		rest = after
	}
	return nil
}

// field is a run of one letter of a pattern, or a literal text.
type field struct {
	letter byte // 0 for a literal
	n      int
	text   string
}

func timeField(pattern string) (f field, rest string, err error) {
	c := pattern[0]
	switch {
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		n := 1
		for n < len(pattern) && pattern[n] == c {
			n++
		}
		return field{letter: c, n: n}, pattern[n:], nil
	case c != '\'':
		return field{text: pattern[:1]}, pattern[1:], nil
	case strings.HasPrefix(pattern, "''"):
		return field{text: "'"}, pattern[2:], nil
	}
	var b strings.Builder
	for i := 1; i < len(pattern); i++ {
		switch {
		case pattern[i] != '\'':
			b.WriteByte(pattern[i])
		case i+1 < len(pattern) && pattern[i+1] == '\'':
			b.WriteByte('\'')
			i++
		default:
			return field{text: b.String()}, pattern[i+1:], nil
		}
	}
	return field{}, "", fmt.Errorf("a quote in the pattern has no end")
}

func (e ParseTime) eval(v event.Value) event.Value {
	if v.Missing() {
		return event.Value{}
	}
	t, ok := parseTime(e.Pattern, strings.TrimSpace(v.Text()), e.In)
	if !ok {
		return event.Value{}
	}
	return event.Int(t.UnixMilli())
}

// clock collects what a text says of a time.
type clock struct {
	year, month, day, yearDay, hour, minute, second, nanos int
	half                                                   bool // the hour is of a half day
	pm                                                     bool
	zone                                                   *time.Location
}

func parseTime(pattern, s string, in *time.Location) (time.Time, bool) {
	c := clock{year: 1970, month: 1, day: 1, zone: in}
	for rest := pattern; rest != ""; {
		f, after, err := timeField(rest)
		if err != nil {
			return time.Time{}, false
		}
		ok := false
		if s, ok = c.take(f, s); !ok {
			return time.Time{}, false
		}
		rest = after
	}
	if s != "" {
		return time.Time{}, false
	}
	if c.half {
		if c.hour < 1 || c.hour > 12 {
			return time.Time{}, false
		}
		c.hour %= 12
		if c.pm {
			c.hour += 12
		}
	}
	if c.month < 1 || c.month > 12 || c.hour > 23 || c.minute > 59 || c.second > 59 || c.zone == nil {
		return time.Time{}, false
	}
	if c.yearDay > 0 {
		c.month, c.day = 1, c.yearDay
		if c.yearDay > 366 {
			return time.Time{}, false
		}
		t := time.Date(c.year, 1, c.yearDay, c.hour, c.minute, c.second, c.nanos, c.zone)
		return t, t.Year() == c.year
	}
	if last := time.Date(c.year, time.Month(c.month)+1, 0, 0, 0, 0, 0, time.UTC).Day(); c.day < 1 || c.day > last {
		return time.Time{}, false
	}
	return time.Date(c.year, time.Month(c.month), c.day, c.hour, c.minute, c.second, c.nanos, c.zone), true
}

// take reads one field ahead of s and returns what follows it.
func (c *clock) take(f field, s string) (rest string, ok bool) {
	number := func(to *int, most int) (string, bool) {
		low, high := f.n, f.n
		if f.n == 1 {
			high = most
		}
		n := 0
		for n < len(s) && n < high && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		if n < low {
			return s, false
		}
		*to, _ = strconv.Atoi(s[:n])
		return s[n:], true
	}
	switch f.letter {
	case 0:
		return strings.CutPrefix(s, f.text)
	case 'y', 'u':
		rest, ok = number(&c.year, 4)
		if f.n == 2 {
			c.year += 2000
		}
		return rest, ok
	case 'M', 'L':
		if f.n >= 3 {
			return name(s, &c.month, f.n > 3, func(i int) string { return time.Month(i + 1).String() }, 12)
		}
		return number(&c.month, 2)
	case 'd':
		return number(&c.day, 2)
	case 'D':
		rest, ok = number(&c.yearDay, 3)
		return rest, ok && c.yearDay > 0
	case 'H':
		return number(&c.hour, 2)
	case 'k':
		rest, ok = number(&c.hour, 2)
		c.hour %= 24
		return rest, ok
	case 'h', 'K':
		c.half = true
		rest, ok = number(&c.hour, 2)
		if f.letter == 'K' && c.hour == 0 {
			c.hour = 12
		}
		return rest, ok
	case 'm':
		return number(&c.minute, 2)
	case 's':
		return number(&c.second, 2)
	case 'S':
		if len(s) < f.n || f.n > 9 || strings.Trim(s[:f.n], "0123456789") != "" {
			return s, false
		}
		c.nanos, _ = strconv.Atoi((s[:f.n] + "00000000")[:9])
		return s[f.n:], true
	case 'a':
		if len(s) < 2 || !strings.EqualFold(s[:2], "am") && !strings.EqualFold(s[:2], "pm") {
			return s, false
		}
		c.pm = s[0]|0x20 == 'p'
		return s[2:], true
	case 'E':
		var day int // does not count
		return name(s, &day, f.n > 3, func(i int) string { return time.Weekday(i).String() }, 7)
	default:
		return c.offset(f, s)
	}
}

// name reads a name of n, or the first three letters of one, and gives its number from 1.
func name(s string, to *int, long bool, of func(i int) string, n int) (string, bool) {
	for i := range n {
		word := of(i)
		if !long {
			word = word[:3]
		}
		if len(s) >= len(word) && strings.EqualFold(s[:len(word)], word) {
			*to = i + 1
			return s[len(word):], true
		}
	}
	return s, false
}

// offset reads a zone: a distance from UTC, Z for none, or with z and V a zone's name.
func (c *clock) offset(f field, s string) (string, bool) {
	if strings.HasPrefix(s, "Z") && f.letter != 'x' && (len(s) == 1 || s[1] < 'A') {
		c.zone = time.UTC
		return s[1:], true
	}
	if s == "" || s[0] != '+' && s[0] != '-' {
		if f.letter != 'z' && f.letter != 'V' {
			return s, false
		}
		n := strings.IndexFunc(s, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/_+-", r))
		})
		if n < 0 {
			n = len(s)
		}
		zone, ok := Zone(s[:n])
		c.zone = zone
		return s[n:], ok
	}
	var digits [4]int
	at, n := 1, 0
	for n < 4 && at < len(s) {
		if s[at] == ':' && n == 2 {
			at++
			continue
		}
		if s[at] < '0' || s[at] > '9' {
			break
		}
		digits[n] = int(s[at] - '0')
		n++
		at++
	}
	if n != 2 && n != 4 {
		return s, false
	}
	seconds := (digits[0]*10+digits[1])*3600 + (digits[2]*10+digits[3])*60
	if s[0] == '-' {
		seconds = -seconds
	}
	c.zone = time.FixedZone("", seconds)
	return s[at:], true
}

// Zone returns the time zone of a name such as Europe/Paris, UTC or +02:00.
func Zone(name string) (*time.Location, bool) {
	switch {
	case name == "" || name == "Local" || strings.Contains(name, ".."):
		return nil, false
	case name[0] == '+' || name[0] == '-':
		var c clock
		rest, ok := c.offset(field{letter: 'X'}, name)
		return c.zone, ok && rest == ""
	}
	zone, err := time.LoadLocation(name)
	return zone, err == nil
}

// timeVerbs are the conversions of strftime that FormatTime knows; those that are longer stand for
// other formats.
var timeVerbs = map[byte]string{
	'F': "%Y-%m-%d", 'T': "%H:%M:%S", 'R': "%H:%M", 'D': "%m/%d/%y", 'r': "%I:%M:%S %p", 'c': "%a %b %e %H:%M:%S %Y", 'x': "%m/%d/%y", 'X': "%H:%M:%S",
	'Y': "", 'C': "", 'y': "", 'm': "", 'd': "", 'e': "", 'H': "", 'I': "", 'k': "", 'l': "", 'M': "", 'S': "", 'L': "", 'f': "", 'N': "", 'p': "", 'P': "", 'j': "",
	'a': "", 'A': "", 'b': "", 'B': "", 'h': "", 'Z': "", 'z': "", 's': "", 'u': "", 'w': "", 'V': "", 'G': "", 'g': "", 'n': "", 't': "", '%': "",
}

// CheckTimeFormat reports what FormatTime can not write of a format.
func CheckTimeFormat(format string) error {
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		if i++; i == len(format) {
			return fmt.Errorf("the format ends in a single %%")
		}
		if _, ok := timeVerbs[format[i]]; !ok {
			return fmt.Errorf("%%%c of the format has no meaning here", format[i])
		}
	}
	return nil
}

// maxMillis is the largest time in milliseconds that is written, in the year 9999.
const maxMillis = 253_402_300_799_999

func (e FormatTime) eval(v event.Value) event.Value {
	ms, ok := looseNumber(v)
	if !ok || ms > maxMillis || ms < -maxMillis {
		return event.Value{}
	}
	in := e.In
	if in == nil {
		in = time.UTC
	}
	return event.String(string(appendTime(nil, e.Format, time.UnixMilli(int64(ms)).In(in))))
}

func appendTime(dst []byte, format string, t time.Time) []byte {
	number := func(n, width int, pad byte) {
		s := strconv.Itoa(n)
		for i := len(s); i < width; i++ {
			dst = append(dst, pad)
		}
		dst = append(dst, s...)
	}
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			dst = append(dst, format[i])
			continue
		}
		i++
		switch c := format[i]; c {
		case 'Y':
			number(t.Year(), 4, '0')
		case 'C':
			number(t.Year()/100, 2, '0')
		case 'y':
			number(t.Year()%100, 2, '0')
		case 'm':
			number(int(t.Month()), 2, '0')
		case 'd':
			number(t.Day(), 2, '0')
		case 'e':
			number(t.Day(), 2, ' ')
		case 'H':
			number(t.Hour(), 2, '0')
		case 'k':
			number(t.Hour(), 2, ' ')
		case 'I':
			number((t.Hour()+11)%12+1, 2, '0')
		case 'l':
			number((t.Hour()+11)%12+1, 2, ' ')
		case 'M':
			number(t.Minute(), 2, '0')
		case 'S':
			number(t.Second(), 2, '0')
		case 'L':
			number(t.Nanosecond()/1e6, 3, '0')
		case 'f':
			number(t.Nanosecond()/1e3, 6, '0')
		case 'N':
			number(t.Nanosecond(), 9, '0')
		case 'p':
			dst = t.AppendFormat(dst, "PM")
		case 'P':
			dst = t.AppendFormat(dst, "pm")
		case 'j':
			number(t.YearDay(), 3, '0')
		case 'a':
			dst = append(dst, t.Weekday().String()[:3]...)
		case 'A':
			dst = append(dst, t.Weekday().String()...)
		case 'b', 'h':
			dst = append(dst, t.Month().String()[:3]...)
		case 'B':
			dst = append(dst, t.Month().String()...)
		case 'Z':
			dst = t.AppendFormat(dst, "MST")
		case 'z':
			dst = t.AppendFormat(dst, "-0700")
		case 's':
			dst = strconv.AppendInt(dst, t.Unix(), 10)
		case 'u':
			number((int(t.Weekday())+6)%7+1, 1, '0')
		case 'w':
			number(int(t.Weekday()), 1, '0')
		case 'V':
			_, week := t.ISOWeek()
			number(week, 2, '0')
		case 'G':
			year, _ := t.ISOWeek()
			number(year, 4, '0')
		case 'g':
			year, _ := t.ISOWeek()
			number(year%100, 2, '0')
		case 'n':
			dst = append(dst, '\n')
		case 't':
			dst = append(dst, '\t')
		case '%':
			dst = append(dst, '%')
		default:
			dst = appendTime(dst, timeVerbs[c], t)
		}
	}
	return dst
}

// Months is the begin of the run of N calendar months (of UTC, counted from January 1970) in which
// X lies, milliseconds since the epoch; with Ceil that of the next run unless X begins one.
type Months struct {
	X    Expr
	N    int
	Ceil bool
}

func (e Months) eval(v event.Value) event.Value {
	ms, ok := looseNumber(v)
	if !ok || ms > maxMillis || ms < -maxMillis {
		return event.Value{}
	}
	x := int64(ms)
	if float64(x) > ms {
		x--
	}
	t := time.UnixMilli(x).UTC()
	run := FloorTo(int64(t.Year()-1970)*12+int64(t.Month())-1, int64(e.N))
	begin := func(months int64) int64 {
		return time.Date(1970, time.Month(1+months), 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	}
	b := begin(run)
	if e.Ceil && float64(b) < ms {
		b = begin(run + int64(e.N))
	}
	return event.Int(b)
}
