package cwlogs

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

const (
	maxTables    = 100
	maxTableBody = 10 << 20
	maxFieldsOf  = 1000 // columns of a table
)

var tableName = regexp.MustCompile(`^[a-zA-Z0-9_]+$`)

// lookupTable returns a table for queries, nil when there is none.
func (s *Server) lookupTable(ctx context.Context, environment, name string) (*query.Table, error) {
	t, err := s.cfg.Meta.LookupTable(ctx, environment, name)
	if errors.Is(err, meta.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseTable(t.Body)
}

// parseTable reads a table: the first line names its columns. An empty cell is a missing value.
func parseTable(body string) (*query.Table, error) {
	if !utf8.ValidString(body) {
		return nil, errors.New("the table is not valid UTF-8")
	}
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(body, "\ufeff")))
	r.ReuseRecord = true
	names, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("the line that names the columns can not be read: %w", err)
	}
	t := &query.Table{}
	seen := map[string]bool{}
	for _, n := range names {
		n = strings.TrimSpace(n)
		if n == "" || seen[n] {
			return nil, fmt.Errorf("the column name %q is empty or there twice", n)
		}
		seen[n] = true
		t.Columns = append(t.Columns, strings.Clone(n))
	}
	if len(t.Columns) > maxFieldsOf {
		return nil, fmt.Errorf("the table has more than %d columns", maxFieldsOf)
	}
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, fmt.Errorf("the table can not be read: %w", err)
		}
		row := make([]event.Value, len(cells))
		for i, c := range cells {
			if c != "" {
				row[i] = event.String(strings.Clone(c))
			}
		}
		t.Rows = append(t.Rows, row)
	}
}

type lookupTableInput struct {
	LookupTableName string            `json:"lookupTableName"`
	LookupTableARN  string            `json:"lookupTableArn"`
	Description     string            `json:"description"`
	TableBody       *string           `json:"tableBody"`
	QueryID         string            `json:"queryId"`
	KMSKeyID        string            `json:"kmsKeyId"`
	Tags            map[string]string `json:"tags"`
}

// content checks what a table is made of and reads it.
func (s *Server) content(ctx context.Context, r *awsapi.Request, in *lookupTableInput, t *meta.LookupTable) error {
	var c check
	if n := utf8.RuneCountInString(in.Description); n > 1024 {
		c.fault(quote(in.Description), "description", "Member must have length less than or equal to 1024")
	}
	if in.TableBody == nil && in.QueryID == "" {
		c.fault("null", "tableBody", "Member must not be null")
	}
	if in.TableBody != nil && len(*in.TableBody) > maxTableBody {
		c.fault("'…'", "tableBody", "Member must have length less than or equal to %d", maxTableBody)
	}
	if err := c.err(); err != nil {
		return err
	}
	body := ""
	switch {
	case in.TableBody != nil && in.QueryID != "":
		return invalid("Exactly one of tableBody and queryId must be given.")
	case in.TableBody != nil:
		body = *in.TableBody
	default:
		run, err := s.run(ctx, r, in.QueryID)
		if err != nil {
			return err
		}
		if body, err = s.resultCSV(ctx, run); err != nil {
			return err
		}
		if len(body) > maxTableBody {
			return invalid("The result of the query is larger than %d bytes.", maxTableBody)
		}
	}
	table, err := parseTable(body)
	if err != nil {
		return awsapi.Errorf("ValidationException", "The table is not valid CSV: %v.", err)
	}
	fields, err := json.Marshal(table.Columns)
	if err != nil {
		return err
	}
	t.Description, t.KMSKeyID, t.Body, t.Fields, t.Records, t.Updated = in.Description, in.KMSKeyID, body, string(fields), len(table.Rows), time.Now()
	return nil
}

// resultCSV writes the result of a run as a table; @ptr is left out.
func (s *Server) resultCSV(ctx context.Context, run *run) (string, error) {
	snap := s.runs.snapshot(run)
	if snap.status != complete {
		return "", invalid("The query %s is %s; a table is made of the result of a query that is Complete.", run.id, snap.status)
	}
	rows, err := s.runs.result(ctx, run, 0, snap.rows)
	if err != nil {
		return "", err
	}
	at := map[string]int{}
	var names []string
	for _, r := range rows {
		for _, f := range r {
			if _, ok := at[f.Field]; !ok && f.Field != "@ptr" {
				at[f.Field] = len(names)
				names = append(names, f.Field)
			}
		}
	}
	if names == nil {
		return "", invalid("The query %s has no rows.", run.id)
	}
	var b strings.Builder
	w := csv.NewWriter(&b)
	lines := [][]string{names}
	for _, r := range rows {
		cells := make([]string, len(names))
		for _, f := range r {
			if i, ok := at[f.Field]; ok {
				cells[i] = f.Value
			}
		}
		lines = append(lines, cells)
	}
	err = w.WriteAll(lines)
	return b.String(), err
}

func tableARN(c *awsapi.Caller, name string) string {
	return "arn:aws:logs:" + c.Region + ":" + c.Account + ":lookup-table:" + name
}

var errNoTable = awsapi.Errorf("ResourceNotFoundException", "The specified lookup table does not exist.")

// tableOf returns the table of an ARN, or of a name.
func (s *Server) tableOf(ctx context.Context, r *awsapi.Request, arn string) (meta.LookupTable, error) {
	var c check
	c.text("lookupTableArn", arn, 2048, nil, "")
	if err := c.err(); err != nil {
		return meta.LookupTable{}, err
	}
	name := arn
	if strings.HasPrefix(arn, "arn:") {
		_, after, ok := strings.Cut(arn, ":lookup-table:")
		if !ok {
			return meta.LookupTable{}, invalid("The specified lookupTableArn is invalid.")
		}
		name = after
	}
	t, err := s.cfg.Meta.LookupTable(ctx, r.Caller.Environment, name)
	if errors.Is(err, meta.ErrNotFound) {
		return t, errNoTable
	}
	return t, err
}

type createLookupTableOutput struct {
	LookupTableARN string `json:"lookupTableArn"`
	CreatedAt      int64  `json:"createdAt"`
}

func (s *Server) createLookupTable(ctx context.Context, r *awsapi.Request, in lookupTableInput) (createLookupTableOutput, error) {
	var out createLookupTableOutput
	var c check
	c.text("lookupTableName", in.LookupTableName, 256, tableName, tableName.String())
	c.tags(in.Tags)
	if err := c.err(); err != nil {
		return out, err
	}
	if len(in.Tags) > maxTags {
		return out, tooManyTags(tableARN(&r.Caller, in.LookupTableName))
	}
	t := meta.LookupTable{Environment: r.Caller.Environment, Name: in.LookupTableName, Created: time.Now()}
	if err := s.content(ctx, r, &in, &t); err != nil {
		return out, err
	}
	list, err := s.cfg.Meta.LookupTables(ctx, r.Caller.Environment)
	if err != nil {
		return out, err
	}
	if len(list) >= maxTables {
		return out, awsapi.Errorf("LimitExceededException", "Resource limit exceeded.")
	}
	if err := s.cfg.Meta.CreateLookupTable(ctx, t); errors.Is(err, meta.ErrExists) {
		return out, awsapi.Errorf("ResourceAlreadyExistsException", "The specified lookup table already exists")
	} else if err != nil {
		return out, err
	}
	err = s.cfg.Meta.PutTags(ctx, tableResource(t.Environment, t.Name), in.Tags)
	return createLookupTableOutput{tableARN(&r.Caller, t.Name), t.Created.UnixMilli()}, err
}

type lookupTableRow struct {
	LookupTableARN  string   `json:"lookupTableArn"`
	LookupTableName string   `json:"lookupTableName,omitempty"`
	Description     string   `json:"description,omitempty"`
	TableBody       string   `json:"tableBody,omitempty"`
	TableFields     []string `json:"tableFields,omitempty"`
	RecordsCount    *int     `json:"recordsCount,omitempty"`
	SizeBytes       int      `json:"sizeBytes"`
	LastUpdatedTime int64    `json:"lastUpdatedTime"`
	KMSKeyID        string   `json:"kmsKeyId,omitempty"`
}

func tableRow(r *awsapi.Request, t *meta.LookupTable) lookupTableRow {
	return lookupTableRow{LookupTableARN: tableARN(&r.Caller, t.Name), LookupTableName: t.Name, Description: t.Description, SizeBytes: t.Size,
		LastUpdatedTime: t.Updated.UnixMilli(), KMSKeyID: t.KMSKeyID}
}

func (s *Server) getLookupTable(ctx context.Context, r *awsapi.Request, in lookupTableInput) (lookupTableRow, error) {
	t, err := s.tableOf(ctx, r, in.LookupTableARN)
	if err != nil {
		return lookupTableRow{}, err
	}
	out := tableRow(r, &t)
	out.TableBody = t.Body
	return out, nil
}

type updateLookupTableOutput struct {
	LookupTableARN  string `json:"lookupTableArn"`
	LastUpdatedTime int64  `json:"lastUpdatedTime"`
}

func (s *Server) updateLookupTable(ctx context.Context, r *awsapi.Request, in lookupTableInput) (updateLookupTableOutput, error) {
	t, err := s.tableOf(ctx, r, in.LookupTableARN)
	if err != nil {
		return updateLookupTableOutput{}, err
	}
	if in.Description == "" {
		in.Description = t.Description
	}
	if in.KMSKeyID == "" {
		in.KMSKeyID = t.KMSKeyID
	}
	if err := s.content(ctx, r, &in, &t); err != nil {
		return updateLookupTableOutput{}, err
	}
	if err := s.cfg.Meta.UpdateLookupTable(ctx, t); errors.Is(err, meta.ErrNotFound) {
		return updateLookupTableOutput{}, errNoTable
	} else if err != nil {
		return updateLookupTableOutput{}, err
	}
	return updateLookupTableOutput{tableARN(&r.Caller, t.Name), t.Updated.UnixMilli()}, nil
}

func (s *Server) deleteLookupTable(ctx context.Context, r *awsapi.Request, in lookupTableInput) (none, error) {
	t, err := s.tableOf(ctx, r, in.LookupTableARN)
	if err != nil {
		return none{}, err
	}
	err = s.cfg.Meta.DeleteLookupTable(ctx, r.Caller.Environment, t.Name)
	if errors.Is(err, meta.ErrNotFound) {
		return none{}, errNoTable
	}
	return none{}, errors.Join(err, s.cfg.Meta.DeleteAllTags(ctx, tableResource(t.Environment, t.Name)))
}

type describeLookupTablesInput struct {
	LookupTableNamePrefix string `json:"lookupTableNamePrefix"`
	MaxResults            *int   `json:"maxResults"`
	NextToken             string `json:"nextToken"`
}

type describeLookupTablesOutput struct {
	LookupTables []lookupTableRow `json:"lookupTables"`
	NextToken    string           `json:"nextToken,omitempty"`
}

func (s *Server) describeLookupTables(ctx context.Context, r *awsapi.Request, in describeLookupTablesInput) (describeLookupTablesOutput, error) {
	out := describeLookupTablesOutput{LookupTables: []lookupTableRow{}}
	var c check
	limit := c.number("maxResults", in.MaxResults, 1, 100, 50)
	c.prefix("lookupTableNamePrefix", in.LookupTableNamePrefix, tableName, tableName.String())
	if err := c.err(); err != nil {
		return out, err
	}
	after, err := readToken("tables", in.NextToken)
	if err != nil {
		return out, err
	}
	all, err := s.cfg.Meta.LookupTables(ctx, r.Caller.Environment)
	if err != nil {
		return out, err
	}
	var list []meta.LookupTable
	for _, t := range all {
		if strings.HasPrefix(t.Name, in.LookupTableNamePrefix) {
			list = append(list, t)
		}
	}
	list, next := cut(list, func(t meta.LookupTable) string { return t.Name }, after, limit)
	for i := range list {
		row := tableRow(r, &list[i])
		row.RecordsCount = &list[i].Records
		if err := json.Unmarshal([]byte(list[i].Fields), &row.TableFields); err != nil {
			return out, err
		}
		out.LookupTables = append(out.LookupTables, row)
	}
	if next != "" {
		out.NextToken = pageToken("tables", next)
	}
	return out, nil
}
