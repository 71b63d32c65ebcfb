package honeycomb

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

const (
	maxAPIBody = 100_000
	// maxRuns is how many finished query results are kept in memory; the oldest go first.
	maxRuns = 1000
)

type datasetJSON struct {
	Name            string  `json:"name"`
	Slug            string  `json:"slug"`
	Description     string  `json:"description"`
	ExpandJSONDepth int     `json:"expand_json_depth"`
	Created         string  `json:"created_at"`
	LastWritten     *string `json:"last_written_at"`
	Columns         int     `json:"regular_columns_count"`
}

func (s *Server) datasetJSON(r *http.Request, d meta.Dataset) (datasetJSON, error) {
	cols, err := s.cfg.Store.Columns(r.Context(), d.ID)
	return datasetJSON{Name: d.Name, Slug: d.Slug, Created: d.Created.Format(time.RFC3339), Columns: len(cols)}, err
}

func (s *Server) listDatasets(r *http.Request, env string) (answer, error) {
	list, err := s.cfg.Meta.Datasets(r.Context(), env, meta.Honeycomb, meta.XRay)
	if err != nil {
		return answer{}, err
	}
	out := make([]datasetJSON, 0, len(list))
	for _, d := range list {
		j, err := s.datasetJSON(r, d)
		if err != nil {
			return answer{}, err
		}
		out = append(out, j)
	}
	return answer{status: http.StatusOK, body: out}, nil
}

func (s *Server) getDataset(r *http.Request, env string) (answer, error) {
	list, err := Datasets(r.Context(), s.cfg.Meta, env, r.PathValue("dataset"))
	if err != nil || len(list) != 1 {
		return answer{}, errNoDataset
	}
	j, err := s.datasetJSON(r, list[0])
	return answer{status: http.StatusOK, body: j}, err
}

// columnJSON is a column. Its id is its name: a column can not be renamed.
type columnJSON struct {
	ID          string `json:"id"`
	KeyName     string `json:"key_name"`
	Type        string `json:"type"`
	Description string `json:"description"`
	Hidden      bool   `json:"hidden"`
}

// Columns returns the columns of datasets by name. A name with several kinds has the widest:
// string over float over integer over boolean.
func Columns(list []store.ColumnInfo) (names []string, kinds map[string]event.Kind) {
	width := map[event.Kind]int{event.KindBool: 1, event.KindInt: 2, event.KindFloat: 3, event.KindString: 4}
	kinds = map[string]event.Kind{}
	for _, c := range list {
		k, ok := kinds[c.Name]
		if !ok {
			names = append(names, c.Name)
		}
		if width[c.Kind] > width[k] {
			kinds[c.Name] = c.Kind
		}
	}
	return names, kinds
}

func (s *Server) listColumns(r *http.Request, env string) (answer, error) {
	list, err := Datasets(r.Context(), s.cfg.Meta, env, r.PathValue("dataset"))
	if err != nil {
		return answer{}, err
	}
	var infos []store.ColumnInfo
	for _, d := range list {
		cols, err := s.cfg.Store.Columns(r.Context(), d.ID)
		if err != nil {
			return answer{}, err
		}
		infos = append(infos, cols...)
	}
	for _, id := range []string{"trace.parent_id", "trace.span_id", "trace.trace_id"} {
		infos = append(infos, store.ColumnInfo{Name: id, Kind: event.KindString})
	}
	names, kinds := Columns(infos)
	out := make([]columnJSON, 0, len(names))
	want := r.URL.Query().Get("key_name")
	for _, n := range names {
		c := columnJSON{ID: n, KeyName: n, Type: kinds[n].String()}
		if want == n {
			return answer{status: http.StatusOK, body: c}, nil
		}
		out = append(out, c)
	}
	if want != "" {
		return answer{}, &apiError{http.StatusNotFound, "Column not found"}
	}
	return answer{status: http.StatusOK, body: out}, nil
}

func decode(r *http.Request, into any) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAPIBody+1))
	if err != nil || len(body) > maxAPIBody {
		return &apiError{http.StatusRequestEntityTooLarge, "Body size is larger than maximum size of 100000 bytes"}
	}
	if json.Unmarshal(body, into) != nil {
		return &apiError{http.StatusBadRequest, "could not parse request body"}
	}
	return nil
}

// queryJSON is a saved query: its spec and its id.
type queryJSON struct {
	Spec
	ID string `json:"id"`
}

func (s *Server) createQuery(r *http.Request, env string) (answer, error) {
	slug := r.PathValue("dataset")
	list, err := Datasets(r.Context(), s.cfg.Meta, env, slug)
	if err != nil {
		return answer{}, err
	}
	var spec Spec
	if err := decode(r, &spec); err != nil {
		return answer{}, err
	}
	known, err := Known(r.Context(), s.cfg.Store, list)
	if err != nil {
		return answer{}, err
	}
	if err := spec.Validate(known); err != nil {
		return answer{}, err
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return answer{}, err
	}
	q, err := s.cfg.Meta.CreateQuery(r.Context(), slug, string(text))
	return answer{status: http.StatusOK, body: queryJSON{spec, q.ID}}, err
}

var errNoQuery = &apiError{http.StatusNotFound, "Query not found"}

func (s *Server) query(r *http.Request, id string) (Spec, error) {
	var spec Spec
	q, err := s.cfg.Meta.Query(r.Context(), id)
	if err != nil || q.Dataset != r.PathValue("dataset") {
		return spec, errNoQuery
	}
	return spec, json.Unmarshal([]byte(q.Spec), &spec)
}

func (s *Server) getQuery(r *http.Request, _ string) (answer, error) {
	spec, err := s.query(r, r.PathValue("id"))
	return answer{status: http.StatusOK, body: queryJSON{spec, r.PathValue("id")}}, err
}

// run is one query result.
type run struct {
	ID       string    `json:"id"`
	Complete bool      `json:"complete"`
	Query    queryJSON `json:"query"`
	Links    runLinks  `json:"links"`
	Data     *runData  `json:"data,omitempty"`
	dataset  string
	done     time.Time
}

type runLinks struct {
	QueryURL string `json:"query_url"`
	GraphURL string `json:"graph_image_url"`
}

type runData struct {
	Results []resultRow `json:"results"`
	Series  []Point     `json:"series"`
}

type resultRow struct {
	Data Data `json:"data"`
}

// runs keeps the newest results.
type runs struct {
	mu    sync.Mutex // guards below
	byID  map[string]*run
	order []string
}

func (r *runs) add(x *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byID[x.ID] = x
	r.order = append(r.order, x.ID)
	if len(r.order) > maxRuns {
		delete(r.byID, r.order[0])
		r.order = r.order[1:]
	}
}

func (r *runs) get(id string) *run {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id]
}

// createResult runs the query at once; its answer says "not complete", as Honeycomb's does,
// and the first look at the result finds it done.
func (s *Server) createResult(r *http.Request, env string) (answer, error) {
	var in struct {
		QueryID       string `json:"query_id"`
		DisableSeries bool   `json:"disable_series"`
		Limit         int    `json:"limit"`
	}
	if err := decode(r, &in); err != nil {
		return answer{}, err
	}
	spec, err := s.query(r, in.QueryID)
	if err != nil {
		return answer{}, err
	}
	if in.Limit > 0 {
		spec.Limit = in.Limit
	}
	list, err := Datasets(r.Context(), s.cfg.Meta, env, r.PathValue("dataset"))
	if err != nil {
		return answer{}, err
	}
	if err := spec.Validate(nil); err != nil {
		return answer{}, err
	}
	a, err := Run(r.Context(), s.cfg.Store, s.cfg.LogGroups, list, &spec, time.Now(), !in.DisableSeries)
	if err != nil {
		return answer{}, err
	}
	x := &run{ID: newRunID(), Complete: true, Query: queryJSON{spec, in.QueryID}, dataset: r.PathValue("dataset"), done: time.Now()}
	x.Links.QueryURL = "http://" + r.Host + "/q/" + x.dataset
	x.Links.GraphURL = x.Links.QueryURL + "/snapshot"
	x.Data = &runData{Results: []resultRow{}, Series: a.Series}
	for _, d := range a.Results {
		x.Data.Results = append(x.Data.Results, resultRow{d})
	}
	s.runs.add(x)
	return answer{http.StatusCreated, "/1/query_results/" + x.dataset + "/" + x.ID, run{ID: x.ID, Query: x.Query, Links: x.Links}}, nil
}

func (s *Server) getResult(r *http.Request, _ string) (answer, error) {
	x := s.runs.get(r.PathValue("id"))
	if x == nil || x.dataset != r.PathValue("dataset") {
		return answer{}, &apiError{http.StatusNotFound, "Query result not found"}
	}
	return answer{status: http.StatusOK, body: x}, nil
}

const runAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func newRunID() string {
	var b [11]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	var id strings.Builder
	for _, c := range b {
		id.WriteByte(runAlphabet[int(c)%len(runAlphabet)])
	}
	return id.String()
}
