package backend

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
)

const (
	maxBody          = 64 << 10
	maxPost          = 280
	maxReplyOrDirect = 1024
)

// apiError is an answer to the client: its body is a JSON array of one string.
type apiError struct {
	status int
	msg    string
}

func (e *apiError) Error() string { return e.msg }

func unprocessable(msg string) error { return &apiError{http.StatusUnprocessableEntity, msg} }

var errUnknownActivity = &apiError{http.StatusNotFound, "activity_not_found"}

func (a *App) routes() router {
	rs := router{
		{"GET", "/api/health", a.health},
		{"GET", "/api/message_groups", a.messageGroups},
		{"GET", "/api/messages/@{handle}", a.messages},
		{"POST", "/api/messages", a.createMessage},
		{"GET", "/api/activities/home", a.home},
		{"GET", "/api/activities/notifications", a.notifications},
		{"GET", "/api/activities/search", a.search},
		{"GET", "/api/activities/@{handle}", a.userActivities},
		{"POST", "/api/activities", a.createActivity},
		{"GET", "/api/activities/{activity_uuid}", a.show},
		{"POST", "/api/activities/{activity_uuid}/reply", a.reply},
	}
	if a.cfg.Demo {
		rs = append(rs, a.demoRoutes()...)
	}
	return rs
}

func (a *App) health(context.Context, *http.Request) (any, error) {
	return map[string]bool{"success": true}, nil
}

func (a *App) messageGroups(context.Context, *http.Request) (any, error) {
	return mockMessageGroups(time.Now()), nil
}

// messages answers with the conversation of the handle in the path; the query
// narrows it to one other handle and may spell its name in either way.
func (a *App) messages(_ context.Context, r *http.Request) (any, error) {
	q := r.URL.Query()
	other := q.Get("user_reciever_handle")
	if other == "" {
		other = q.Get("user_receiver_handle")
	}
	return a.store.conversation(time.Now(), r.PathValue("handle"), other), nil
}

func (a *App) createMessage(_ context.Context, r *http.Request) (any, error) {
	var in struct {
		Receiver string `json:"user_receiver_handle"`
		Message  string `json:"message"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	code := ""
	if in.Receiver == "" {
		code = "user_reciever_handle_blank"
	}
	if err := lastOf(code, checkText(in.Message, maxReplyOrDirect)); err != nil {
		return nil, err
	}
	m := message{
		CreatedAt: isoformat(time.Now()), DisplayName: userName, Handle: userHandle,
		Message: in.Message, UUID: uuid.NewString(),
	}
	a.store.addMessage(direct{message: m, receiver: in.Receiver})
	return m, nil
}

func (a *App) home(ctx context.Context, _ *http.Request) (any, error) {
	var out []activity
	err := a.capture(ctx, "activities_home", func(ctx context.Context) error {
		ctx, span := a.tracer("home.activities").Start(ctx, "home-activites-mock-data")
		defer span.End()
		a.log.InfoContext(ctx, "HomeActivities")
		now := time.Now()
		span.SetAttributes(attribute.String("app.now", isoformat(now)))
		out = a.store.home(now)
		span.SetAttributes(attribute.Int("app.result_length", len(out)))
		return nil
	})
	return out, err
}

func (a *App) notifications(context.Context, *http.Request) (any, error) {
	return mockNotifications(time.Now()), nil
}

func (a *App) search(_ context.Context, r *http.Request) (any, error) {
	term := r.URL.Query().Get("term")
	if term == "" {
		return nil, unprocessable("search_term_blank")
	}
	return a.store.search(time.Now(), term), nil
}

// userActivities answers with the posts written under the handle and, for any
// handle, the mock record.
func (a *App) userActivities(ctx context.Context, r *http.Request) (any, error) {
	out := []activity{}
	err := a.capture(ctx, "activities_users", func(ctx context.Context) error {
		return a.capture(ctx, "mock-data", func(ctx context.Context) error {
			now := time.Now()
			for _, p := range a.store.live(now) {
				if p.Handle == r.PathValue("handle") {
					out = append(out, p)
				}
			}
			out = append(out, mockUser(now))
			annotate(ctx, now, len(out))
			return nil
		})
	})
	return out, err
}

var ttls = map[string]time.Duration{
	"30-days": 30 * day, "7-days": 7 * day, "3-days": 3 * day, "1-day": day,
	"12-hours": 12 * time.Hour, "3-hours": 3 * time.Hour, "1-hour": time.Hour,
}

func (a *App) createActivity(_ context.Context, r *http.Request) (any, error) {
	var in struct {
		Message string `json:"message"`
		TTL     string `json:"ttl"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	ttl, ok := ttls[in.TTL]
	code := ""
	if !ok {
		code = "ttl_blank"
	}
	if err := lastOf(code, checkText(in.Message, maxPost)); err != nil {
		return nil, err
	}
	now := time.Now()
	p := activity{
		CreatedAt: isoformat(now), DisplayName: userName, ExpiresAt: isoformat(now.Add(ttl)),
		Handle: userHandle, Message: in.Message, UUID: uuid.NewString(),
	}
	stored := p
	stored.LikesCount, stored.RepliesCount, stored.RepostsCount = new(0), new(0), new(0)
	stored.Replies = []activity{}
	a.store.addPost(post{activity: stored, expires: now.Add(ttl)})
	return p, nil
}

func (a *App) show(ctx context.Context, r *http.Request) (any, error) {
	var out any
	err := a.capture(ctx, "activities_show", func(context.Context) error {
		now, id := time.Now(), r.PathValue("activity_uuid")
		if id == uuidAndrew {
			out = []shownActivity{mockShow(now)}
			return nil
		}
		for _, p := range a.store.home(now) {
			if p.UUID == id {
				out = []activity{p}
			}
		}
		return nil
	})
	if err == nil && out == nil {
		err = errUnknownActivity
	}
	return out, err
}

func (a *App) reply(_ context.Context, r *http.Request) (any, error) {
	var in struct {
		Message string `json:"message"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := lastOf(checkText(in.Message, maxReplyOrDirect)); err != nil {
		return nil, err
	}
	reply := activity{
		CreatedAt: isoformat(time.Now()), DisplayName: userName, Handle: userHandle,
		Message: in.Message, ReplyToActivityUUID: r.PathValue("activity_uuid"), UUID: uuid.NewString(),
	}
	if !a.store.addReply(reply) {
		return nil, errUnknownActivity
	}
	return reply, nil
}

// checkText returns the error code of a text, counted in code points.
func checkText(text string, limit int) string {
	switch {
	case text == "":
		return "message_blank"
	case utf8.RuneCountInString(text) > limit:
		return "message_exceed_max_chars"
	}
	return ""
}

// lastOf makes an error of the last code that is set: the services overwrite
// their error with each failing check.
func lastOf(codes ...string) error {
	var err error
	for _, code := range codes {
		if code != "" {
			err = unprocessable(code)
		}
	}
	return err
}

// decode reads the JSON body of r. A missing or null member stays blank.
func decode(r *http.Request, into any) error {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || (media != "application/json" && !strings.HasSuffix(media, "+json")) {
		return &apiError{http.StatusUnsupportedMediaType, "unsupported_media_type"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &apiError{http.StatusRequestEntityTooLarge, "body_too_large"}
	case err != nil:
		return &apiError{http.StatusBadRequest, "body_unreadable"}
	}
	if err := json.Unmarshal(body, into); err != nil {
		return &apiError{http.StatusBadRequest, "malformed_json"}
	}
	return nil
}
