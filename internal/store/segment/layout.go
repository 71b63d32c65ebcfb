package segment

import (
	"sort"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// maxColumns is how many fields of a segment have a column of their own; the rarest of more
// share one.
const maxColumns = 1000

// The columns that every segment has come first, in this order.
const (
	colTime = iota
	colIngested
	colSeq
	colDataset
	colTrace
	colSpan
	colParent
	colStream
	colSampleRate
	colUnpacked
	colOverflow
	numHeaderColumns
)

var headerColumns = [numHeaderColumns]colfile.Column{
	colTime:       {Name: "_time", Field: event.FieldTime, Type: colfile.Time, Required: true},
	colIngested:   {Name: "_ingested", Field: event.FieldIngested, Type: colfile.Time, Required: true},
	colSeq:        {Name: "_seq", Field: event.FieldSeq, Type: colfile.Int, Required: true},
	colDataset:    {Name: "_dataset", Field: event.FieldDataset, Type: colfile.Int, Required: true},
	colTrace:      {Name: "_trace_id", Field: event.FieldTrace, Type: colfile.ID16},
	colSpan:       {Name: "_span_id", Field: event.FieldSpan, Type: colfile.ID8},
	colParent:     {Name: "_parent_id", Field: event.FieldParent, Type: colfile.ID8},
	colStream:     {Name: "_stream", Field: event.FieldStream, Type: colfile.String},
	colSampleRate: {Name: "_sample_rate", Field: event.FieldSampleRate, Type: colfile.Int},
	colUnpacked:   {Name: "_unpacked", Field: event.FieldUnpacked, Type: colfile.Bool},
	colOverflow:   {Name: "_overflow", Field: "", Type: colfile.Bytes},
}

type fieldKey struct {
	name string
	kind event.Kind
}

func typeOf(k event.Kind) colfile.Type {
	switch k {
	case event.KindString:
		return colfile.String
	case event.KindInt:
		return colfile.Int
	case event.KindFloat:
		return colfile.Float
	default:
		return colfile.Bool
	}
}

func kindOf(t colfile.Type) event.Kind {
	switch t {
	case colfile.Int, colfile.Time:
		return event.KindInt
	case colfile.Float:
		return event.KindFloat
	case colfile.Bool:
		return event.KindBool
	default:
		return event.KindString
	}
}

// layout is the set of columns of a segment: those of the headers, the fields by name, and at
// the end the fields that are kept in the overflow column.
type layout struct {
	columns []colfile.Column
	index   map[fieldKey]int
}

// newLayout lays out fields that have so many values each.
func newLayout(counts map[fieldKey]int) *layout {
	keys := make([]fieldKey, 0, len(counts))
	kinds := map[string]int{}
	for k := range counts {
		keys = append(keys, k)
		kinds[k.name]++
	}
	byName := func(list []fieldKey) func(i, j int) bool {
		return func(i, j int) bool {
			if list[i].name != list[j].name {
				return list[i].name < list[j].name
			}
			return list[i].kind < list[j].kind
		}
	}
	sort.Slice(keys, byName(keys))
	var rare []fieldKey
	if len(keys) > maxColumns {
		sort.SliceStable(keys, func(i, j int) bool { return counts[keys[i]] > counts[keys[j]] })
		keys, rare = keys[:maxColumns], keys[maxColumns:]
		sort.Slice(keys, byName(keys))
		sort.Slice(rare, byName(rare))
	}
	l := &layout{columns: append([]colfile.Column(nil), headerColumns[:]...), index: map[fieldKey]int{}}
	for _, k := range keys {
		c := colfile.Column{Name: k.name, Field: k.name, Type: typeOf(k.kind)}
		if kinds[k.name] > 1 || strings.HasPrefix(k.name, "_") || strings.Contains(k.name, "#") {
			c.Name = k.name + "#" + k.kind.String()
		}
		l.index[k] = len(l.columns)
		l.columns = append(l.columns, c)
	}
	for _, k := range rare {
		l.index[k] = len(l.columns)
		l.columns = append(l.columns, colfile.Column{Field: k.name, Type: typeOf(k.kind)})
	}
	return l
}

// elsewhere reports whether values of column i are kept in the overflow column.
func (l *layout) elsewhere(i int) bool { return l.columns[i].Name == "" }
