package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-xray-sdk-go/v2/xray"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// searchService is the demo's second service, so that a service map has an edge.
const searchService = "cruddur-search"

func (a *App) demoRoutes() router {
	return router{
		{"GET", "/api/demo/slow", a.demoSlow},
		{"GET", "/api/demo/error", a.demoError},
		{"GET", "/api/demo/throttle", a.demoThrottle},
		{"GET", "/api/demo/panic", a.demoPanic},
		{"GET", "/api/demo/fanout", a.demoFanout},
	}
}

// demoSlow waits for the milliseconds of the query "ms": 800 unless given, 10 s at most.
func (a *App) demoSlow(ctx context.Context, r *http.Request) (any, error) {
	ms, err := number(r, "ms", 800, 0, 10_000)
	if err != nil {
		return nil, err
	}
	err = a.capture(ctx, "demo_slow", func(ctx context.Context) error {
		trace.SpanFromContext(ctx).SetAttributes(attribute.Int("app.wait_ms", ms))
		select {
		case <-time.After(time.Duration(ms) * time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return map[string]int{"waited_ms": ms}, err
}

// demoError answers with the status of the query "status", 500 unless given.
// A 5xx is an exception with a stack, a 4xx the client's mistake.
func (a *App) demoError(ctx context.Context, r *http.Request) (any, error) {
	status, err := number(r, "status", http.StatusInternalServerError, 400, 599)
	if err != nil {
		return nil, err
	}
	err = a.capture(ctx, "demo_error", func(context.Context) error {
		if status < 500 {
			return nil
		}
		return fmt.Errorf("load timeline: %w", errors.New("the warp core is offline"))
	})
	if err == nil || status != http.StatusInternalServerError {
		err = &apiError{status, "demo_error"}
	}
	return nil, err
}

func (a *App) demoThrottle(context.Context, *http.Request) (any, error) {
	return nil, &apiError{http.StatusTooManyRequests, "demo_throttle"}
}

func (a *App) demoPanic(ctx context.Context, _ *http.Request) (any, error) {
	return nil, a.capture(ctx, "demo_panic", func(context.Context) error {
		var crew map[string]int
		//lint:ignore SA5000 writing to a nil map is the panic that this route is for
		crew["worf"]++
		return nil
	})
}

type hits struct {
	Hits int    `json:"hits"`
	Term string `json:"term"`
}

// demoFanout asks the second service for three terms at once.
func (a *App) demoFanout(ctx context.Context, _ *http.Request) (any, error) {
	terms := []string{"cloud", "prune juice", "tailor"}
	results := make([]hits, len(terms))
	err := a.capture(ctx, "demo_fanout", func(ctx context.Context) error {
		errs := make([]error, len(terms))
		var wg sync.WaitGroup
		for i, term := range terms {
			wg.Go(func() {
				n, err := a.askSearch(ctx, term)
				results[i], errs[i] = hits{n, term}, err
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	})
	return results, err
}

func (a *App) askSearch(ctx context.Context, term string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.searchURL+"/search?term="+url.QueryEscape(term), nil)
	if err != nil {
		return 0, fmt.Errorf("ask search for %q: %w", term, err)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask search for %q: %w", term, err)
	}
	defer resp.Body.Close()
	var found []activity
	if err := json.NewDecoder(resp.Body).Decode(&found); err != nil {
		return 0, fmt.Errorf("read answer of search for %q (status %d): %w", term, resp.StatusCode, err)
	}
	return len(found), nil
}

// searchHandler is the second service: one route, traced under its own name.
func (a *App) searchHandler() http.Handler {
	rt := router{{"GET", "/search", a.search}}
	inner := *a
	inner.router, inner.cfg.tracers = rt, a.cfg.searchTracers
	traced := instrument(http.HandlerFunc(inner.dispatch), a.cfg.searchTracers, a.segments(xray.NewFixedSegmentNamer(searchService)))
	return inner.begin(traced)
}

// number reads an integer from the query, within bounds.
func number(r *http.Request, name string, value, low, high int) (int, error) {
	if text := r.URL.Query().Get(name); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < low || n > high {
			return 0, unprocessable(name + "_invalid")
		}
		value = n
	}
	return value, nil
}
