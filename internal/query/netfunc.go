package query

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// textFunctions are functions over addresses, hashes and encodings. A text that is not of the
// form that one wants gives nothing, and of a test that it does not hold.
var textFunctions = map[string]function{
	"is_ip":   {1, 1, address(func(netip.Addr) bool { return true })},
	"is_ipv4": {1, 1, address(netip.Addr.Is4)},
	"is_ipv6": {1, 1, address(netip.Addr.Is6)},
	// ip_in(address, prefix), and for addresses of one version.
	"ip_in":   {2, 2, inPrefix(func(netip.Addr) bool { return true })},
	"ipv4_in": {2, 2, inPrefix(netip.Addr.Is4)},
	"ipv6_in": {2, 2, inPrefix(netip.Addr.Is6)},
	"ipv4_number": {1, 1, func(args []event.Value) event.Value {
		a, err := netip.ParseAddr(args[0].Str())
		if err != nil || !a.Is4() {
			return event.Value{}
		}
		b := a.As4()
		return event.Int(int64(b[0])<<24 | int64(b[1])<<16 | int64(b[2])<<8 | int64(b[3]))
	}},
	"is_private_ip":  {1, 1, address(netip.Addr.IsPrivate)},
	"is_reserved_ip": {1, 1, address(reserved)},
	"is_public_ip":   {1, 1, address(func(a netip.Addr) bool { return !a.IsPrivate() && !reserved(a) })},

	"md5": {1, 1, text(func(s string) event.Value {
		sum := md5.Sum([]byte(s))
		return event.String(hex.EncodeToString(sum[:]))
	})},
	"sha256": {1, 1, text(func(s string) event.Value {
		sum := sha256.Sum256([]byte(s))
		return event.String(hex.EncodeToString(sum[:]))
	})},
	"url_encode": {1, 1, text(func(s string) event.Value { return event.String(strings.ReplaceAll(url.QueryEscape(s), "+", "%20")) })},
	"url_decode": {1, 1, text(func(s string) event.Value {
		t, err := url.QueryUnescape(s)
		if err != nil {
			return event.Value{}
		}
		return event.String(t)
	})},
	"base64_encode": {1, 1, text(func(s string) event.Value { return event.String(base64.StdEncoding.EncodeToString([]byte(s))) })},
	"base64_decode": {1, 1, text(func(s string) event.Value {
		s = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(s), "=")
		b, err := base64.RawStdEncoding.DecodeString(s)
		if err != nil {
			return event.Value{}
		}
		return event.String(strings.ToValidUTF8(string(b), "\ufffd"))
	})},
	"hex_text": {1, 1, text(func(s string) event.Value {
		b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
		if err != nil {
			return event.Value{}
		}
		return event.String(strings.ToValidUTF8(string(b), "\ufffd"))
	})},
	"hex_number": {1, 1, text(func(s string) event.Value {
		s = strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X")
		n, err := strconv.ParseInt(s, 16, 64)
		if err != nil || s[0] == '-' || s[0] == '+' {
			return event.Value{}
		}
		return event.Int(n)
	})},
	"number_hex": {1, 1, func(args []event.Value) event.Value {
		f, ok := looseNumber(args[0])
		if !ok || f != math.Trunc(f) || f < 0 || f >= 1<<63 {
			return event.Value{}
		}
		n := int64(f)
		if args[0].Kind() == event.KindInt {
			n = args[0].Int()
		}
		return event.String(strconv.FormatInt(n, 16))
	}},
	// haversine(latitude, longitude, latitude, longitude) is the distance in kilometres of two
	// places, in degrees, on a globe of 6371 km radius.
	"haversine": {4, 4, func(args []event.Value) event.Value {
		var at [4]float64
		for i := range at {
			f, ok := looseNumber(args[i])
			if !ok {
				return event.Value{}
			}
			at[i] = f * math.Pi / 180
		}
		lat, lon := math.Sin((at[2]-at[0])/2), math.Sin((at[3]-at[1])/2)
		h := lat*lat + math.Cos(at[0])*math.Cos(at[2])*lon*lon
		return Number(2 * 6371 * math.Asin(math.Sqrt(min(h, 1))))
	}},
}

// reservedPrefixes are blocks that RFC 6890 and its successors set apart, private ones left out.
var reservedPrefixes = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/127"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
}

func reserved(a netip.Addr) bool {
	for _, p := range reservedPrefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// IsPrefix reports whether s is a block of addresses, as in 10.0.0.0/8.
func IsPrefix(s string) bool {
	_, err := netip.ParsePrefix(s)
	return err == nil
}

func address(test func(netip.Addr) bool) func([]event.Value) event.Value {
	return func(args []event.Value) event.Value {
		a, err := netip.ParseAddr(args[0].Str())
		return event.Bool(err == nil && a.Zone() == "" && test(a))
	}
}

func inPrefix(of func(netip.Addr) bool) func([]event.Value) event.Value {
	return func(args []event.Value) event.Value {
		a, err := netip.ParseAddr(args[0].Str())
		if err != nil || !of(a) {
			return event.Bool(false)
		}
		p, err := netip.ParsePrefix(args[1].Str())
		return event.Bool(err == nil && p.Contains(a))
	}
}
