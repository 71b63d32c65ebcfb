package xray

import (
	"iter"
	"math"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/jsonscan"
)

// tree is a JSON text, read once. Its strings share the text's memory where they can.
type tree struct {
	nodes []treeNode
	json  jsonscan.Scanner
}

// treeNode is a value. What is in it follows it, up to next.
type treeNode struct {
	kind byte // what the value begins with; '0' for a number
	next int32
	name string // as a member
	text string // of a string or number
}

var trees = sync.Pool{New: func() any { return new(tree) }}

func (t *tree) release() {
	clear(t.nodes)
	t.nodes = t.nodes[:0]
	t.json = jsonscan.Scanner{} // documents go on sharing its memory
	trees.Put(t)
}

// bytesOf lends the bytes of a string, which nobody writes to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// read reads a text; false when it is not JSON.
func (t *tree) read(text string) (object, bool) {
	t.json.Reset(bytesOf(text))
	if !t.value("", 0) || !t.json.Ended() {
		return object{}, false
	}
	return object{t, 0}, true
}

func (t *tree) value(name string, depth int) (ok bool) {
	at := len(t.nodes)
	t.nodes = append(t.nodes, treeNode{name: name, kind: t.json.Peek()})
	n := &t.nodes[at]
	switch n.kind {
	case '{':
		ok = t.json.Object(depth, func(name []byte) bool { return t.value(jsonscan.Lend(name), depth+1) })
	case '[':
		ok = t.json.Array(depth, func() bool { return t.value("", depth+1) })
	case '"':
		var text []byte
		text, ok = t.json.Str()
		n.text = jsonscan.Lend(text)
	case 't':
		ok = t.json.Word("true")
	case 'f':
		ok = t.json.Word("false")
	case 'n':
		ok = t.json.Word("null")
	default:
		var text []byte
		text, _, ok = t.json.Number()
		n.kind, n.text = '0', jsonscan.Lend(text)
	}
	t.nodes[at].next = int32(len(t.nodes))
	return ok
}

// object is a value of a document, most often an object. Its zero value is none: it has no
// members, and kind 0. Members of a wrong type are as if they were not there, so that one does
// not spoil the others.
type object struct {
	t *tree
	i int32
}

func (o object) node() *treeNode { return &o.t.nodes[o.i] }

// kind is what the value begins with: one of {["tfn, 0 as a character for a number, or zero.
func (o object) kind() byte {
	if o.t == nil {
		return 0
	}
	return o.node().kind
}

// name returns the name of a member.
func (o object) name() string { return o.node().name }

// string returns the text of a string.
func (o object) string() string { return o.node().text }

// json writes the value as JSON.
func (o object) json() []byte {
	switch o.kind() {
	case '{', '[':
		out := []byte{o.kind()}
		for x := range o.in(o.kind()) {
			if len(out) > 1 {
				out = append(out, ',')
			}
			if o.kind() == '{' {
				out = append(append(out, encode(x.name())...), ':')
			}
			out = append(out, x.json()...)
		}
		return append(out, o.kind()+2) // the closing bracket
	case '"':
		return encode(o.string())
	case 't':
		return []byte("true")
	case 'f':
		return []byte("false")
	case '0':
		return []byte(o.string())
	default:
		return []byte("null")
	}
}

// in yields what is in an object or array.
func (o object) in(kind byte) iter.Seq[object] {
	return func(yield func(object) bool) {
		if o.kind() != kind {
			return
		}
		for i, end := o.i+1, o.node().next; i < end; i = o.t.nodes[i].next {
			if !yield(object{o.t, i}) {
				return
			}
		}
	}
}

func (o object) members() iter.Seq[object]  { return o.in('{') }
func (o object) elements() iter.Seq[object] { return o.in('[') }

// member returns the last member of a name.
func (o object) member(name string) (found object) {
	if o.kind() != '{' {
		return object{}
	}
	for i, end := o.i+1, o.node().next; i < end; i = o.t.nodes[i].next {
		if o.t.nodes[i].name == name {
			found = object{o.t, i}
		}
	}
	return found
}

func (o object) text(name string) string {
	if m := o.member(name); m.kind() == '"' {
		return m.string()
	}
	return ""
}

func (o object) flag(name string) bool { return o.member(name).kind() == 't' }

func (o object) object(name string) object {
	if m := o.member(name); m.kind() == '{' {
		return m
	}
	return object{}
}

func (o object) number(name string) (float64, bool) {
	m := o.member(name)
	if m.kind() != '0' {
		return 0, false
	}
	f, err := strconv.ParseFloat(m.string(), 64)
	return f, err == nil
}

// integer reads a number, or a string that is one.
func (o object) integer(name string) *int64 {
	f, ok := o.number(name)
	if !ok {
		var err error
		if f, err = strconv.ParseFloat(o.text(name), 64); err != nil {
			return nil
		}
	}
	if math.IsNaN(f) || math.Abs(f) > 1<<53 {
		return nil
	}
	n := int64(f)
	return &n
}

// scalar returns a JSON string, number or boolean; anything else is missing. A number without
// fraction that fits is an integer.
func (o object) scalar() event.Value {
	switch o.kind() {
	case '"':
		return event.String(o.string())
	case 't', 'f':
		return event.Bool(o.kind() == 't')
	case '0':
		text := o.string()
		if !strings.ContainsAny(text, ".eE") {
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				return event.Int(n)
			}
		}
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return event.Float(f)
		}
	}
	return event.Value{}
}
