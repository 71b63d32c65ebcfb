package segment

import (
	"slices"
	"testing"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

func FuzzOverflow(f *testing.F) {
	var seed []byte
	for _, v := range []event.Value{event.String("text"), event.Int(-5), event.Float(1.5), event.Bool(true)} {
		seed = appendOverflow(seed, "name", v)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, src []byte) {
		var fields []event.Field
		if readOverflow(src, func(name string, v event.Value) { fields = append(fields, event.Field{Name: name, Value: v}) }) != nil {
			return
		}
		var again []event.Field
		var enc []byte
		for _, x := range fields {
			enc = appendOverflow(enc, x.Name, x.Value)
		}
		if err := readOverflow(enc, func(name string, v event.Value) { again = append(again, event.Field{Name: name, Value: v}) }); err != nil || !slices.Equal(fields, again) {
			t.Fatalf("%v does not survive a round trip: %v, %v", fields, again, err)
		}
	})
}
