package cwlogs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

// The kinds of objects that are kept in meta as clients define them.
const (
	kindMetricFilter       = "metric-filter"
	kindSubscriptionFilter = "subscription-filter"
	kindCursor             = "subscription-cursor"
	kindDestination        = "destination"
	kindResourcePolicy     = "resource-policy"
)

// errLimit is the answer to one object more than there may be.
var errLimit = awsapi.Errorf("LimitExceededException", "Resource limit exceeded.")

// defined is an object with its document decoded.
type defined[T any] struct {
	meta.LogObject
	is T
}

func decodeObject[T any](o meta.LogObject) (defined[T], error) {
	d := defined[T]{LogObject: o}
	if err := json.Unmarshal([]byte(o.Document), &d.is); err != nil {
		return d, fmt.Errorf("stored %s %q: %w", o.Kind, o.Name, err)
	}
	return d, nil
}

// define stores an object; with most above 0 there may be that many in its scope.
func define[T any](ctx context.Context, s *Server, environment, kind, scope, name string, v T, most int) (defined[T], error) {
	text, err := json.Marshal(v)
	if err != nil {
		return defined[T]{}, err
	}
	o, err := s.cfg.Meta.PutLogObject(ctx, meta.LogObject{Environment: environment, Kind: kind, Scope: scope, Name: name, Document: string(text)}, most)
	if errors.Is(err, meta.ErrFull) {
		err = errLimit
	}
	return defined[T]{o, v}, err
}

// object returns an object, or missing when there is none.
func object[T any](ctx context.Context, s *Server, environment, kind, scope, name string, missing error) (defined[T], error) {
	o, err := s.cfg.Meta.LogObject(ctx, environment, kind, scope, name)
	if errors.Is(err, meta.ErrNotFound) {
		return defined[T]{}, missing
	} else if err != nil {
		return defined[T]{}, err
	}
	return decodeObject[T](o)
}

// objects lists the objects of a kind by name, then scope.
func objects[T any](ctx context.Context, s *Server, environment, kind string) ([]defined[T], error) {
	all, err := s.cfg.Meta.LogObjects(ctx, environment, kind)
	if err != nil {
		return nil, err
	}
	out := make([]defined[T], len(all))
	for i, o := range all {
		if out[i], err = decodeObject[T](o); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// remove deletes an object, or returns missing when there is none.
func (s *Server) remove(ctx context.Context, environment, kind, scope, name string, missing error) error {
	err := s.cfg.Meta.DeleteLogObject(ctx, environment, kind, scope, name)
	if errors.Is(err, meta.ErrNotFound) {
		return missing
	}
	return err
}

// place is where an object stands in a list; it keeps the order of lists.
func (d defined[T]) place() string { return d.Name + "\x00" + d.Scope }

// listed returns a page of the objects of a kind for which wanted holds.
func listed[T any](ctx context.Context, s *Server, environment, kind, token string, limit int, wanted func(defined[T]) bool) (list []defined[T], next string, err error) {
	all, err := objects[T](ctx, s, environment, kind)
	if err != nil {
		return nil, "", err
	}
	return pageOf(slices.DeleteFunc(all, func(d defined[T]) bool { return !wanted(d) }), kind, token, limit)
}

// pageOf cuts a page out of a list of objects; kind keeps the tokens of one operation from being
// taken by another.
func pageOf[T any](list []defined[T], kind, token string, limit int) (out []defined[T], next string, err error) {
	after, err := readToken(kind, token)
	if err != nil {
		return nil, "", err
	}
	start := 0
	for after != "" && start < len(list) && comparePlaces(list[start].place(), after) <= 0 {
		start++
	}
	list = list[start:]
	if len(list) <= limit {
		return list, "", nil
	}
	return list[:limit], pageToken(kind, list[limit-1].place()), nil
}

// comparePlaces orders names, then scopes.
func comparePlaces(a, b string) int {
	an, as, _ := strings.Cut(a, "\x00")
	bn, bs, _ := strings.Cut(b, "\x00")
	if c := strings.Compare(an, bn); c != 0 {
		return c
	}
	return strings.Compare(as, bs)
}
