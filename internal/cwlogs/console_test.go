package cwlogs_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/cwlogs"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

func TestConsole(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"app"}`, nil)
	r.call("CreateLogGroup", `{"logGroupName":"empty"}`, nil)
	r.stream("app", "s")
	base := time.UnixMilli(now() - 60_000)
	messages := []string{
		`{"level":"error","trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","a":{"b":[1,"x",null,{"c":2.5}]},"@k":true}`,
		`AWS-XRAY-TRACE-ID: 1-5759e988-bd862e3fe1be46a994272793@53995c3f42cd8ad8 done`,
		`x Root=1-5759e988-bd862e3fe1be46a994272794;Parent=53995c3f42cd8ad9;Sampled=1`,
		`plain {"level":"no"}`,
	}
	for i, m := range messages {
		r.put("app", "s", inEvent{base.UnixMilli() + int64(i), m})
	}
	groups, err := r.logs.Groups(t.Context(), "default", "")
	if err != nil || len(groups) != 2 || groups[0].Events != 4 || groups[0].Streams != 1 || !groups[0].LastEvent.Equal(base.Add(3*time.Millisecond)) || !groups[1].LastEvent.IsZero() {
		t.Errorf("groups: %+v %v", groups, err)
	}
	if other, err := r.logs.Groups(t.Context(), "other", ""); err != nil || len(other) != 0 {
		t.Errorf("another environment sees %v, %v", other, err)
	}
	streams, err := r.logs.Streams(t.Context(), "default", "app", "")
	if err != nil || len(streams) != 1 || streams[0].Events != 4 || !streams[0].FirstEvent.Equal(base) {
		t.Errorf("streams: %+v %v", streams, err)
	}
	in := cwlogs.EventsInput{Environment: "default", Group: "app", From: base.Add(-time.Hour), To: base.Add(time.Hour), Limit: 3, Bucket: time.Millisecond}
	page, err := r.logs.Events(t.Context(), in)
	if err != nil || len(page.Events) != 3 || page.NextCursor == "" || len(page.Histogram) != 4 {
		t.Fatalf("page: %+v %v", page, err)
	}
	var ids []string
	for _, e := range page.Events {
		ids = append(ids, e.Trace.String()+" "+e.Span.String())
	}
	want := []string{"0af7651916cd43dd8448eb211c80319c b7ad6b7169203331", "5759e988bd862e3fe1be46a994272793 53995c3f42cd8ad8", "5759e988bd862e3fe1be46a994272794 53995c3f42cd8ad9"}
	if fmt.Sprint(ids) != fmt.Sprint(want) {
		t.Errorf("ids: %v", ids)
	}
	fields := map[string]event.Value{}
	for _, f := range page.Events[0].Fields {
		fields[f.Name] = f.Value
	}
	if len(fields) != 7 || fields["a.b.0"] != event.Int(1) || fields["a.b.1"] != event.String("x") || fields["a.b.3.c"] != event.Float(2.5) || fields["@@k"] != event.Bool(true) {
		t.Errorf("fields: %v", fields)
	}
	in.Cursor = page.NextCursor
	if page, err = r.logs.Events(t.Context(), in); err != nil || len(page.Events) != 1 || page.NextCursor != "" || page.Events[0].Message != messages[3] {
		t.Errorf("second page: %+v %v", page, err)
	}
	in.Cursor, in.Descending, in.Filter, in.Stream = "", true, "{ $.level = error }", "s"
	if page, err = r.logs.Events(t.Context(), in); err != nil || len(page.Events) != 1 || page.Events[0].ID == "" || len(page.Histogram) != 1 {
		t.Errorf("filtered: %+v %v", page, err)
	}
	in.Filter = "{ $.level = }"
	if _, err = r.logs.Events(t.Context(), in); syntax.AsError(err) == nil {
		t.Errorf("bad filter: %v", err)
	}
	in.Filter, in.Cursor = "", "x"
	if _, err = r.logs.Events(t.Context(), in); syntax.AsError(err) == nil {
		t.Errorf("bad cursor: %v", err)
	}
	in.Group = "none"
	if _, err = r.logs.Events(t.Context(), in); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("unknown group: %v", err)
	}
	if _, err = r.logs.Streams(t.Context(), "default", "none", ""); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("unknown group: %v", err)
	}
}
