package backend

import (
	"slices"
	"sync"
	"time"
)

// storeLimit bounds each kind of thing that users can write; the oldest go first.
const storeLimit = 1000

// store keeps what users wrote until the process ends. Safe for concurrent use.
type store struct {
	mu       sync.RWMutex // guards below
	posts    []post       // oldest first
	replies  []activity   // oldest first
	messages []direct     // oldest first
}

type post struct {
	activity
	expires time.Time
}

type direct struct {
	message
	receiver string
}

func push[T any](list []T, v T) []T {
	if len(list) == storeLimit {
		list = slices.Delete(list, 0, 1)
	}
	return append(list, v)
}

func (s *store) addPost(p post) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posts = push(s.posts, p)
}

func (s *store) addMessage(d direct) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = push(s.messages, d)
}

// addReply stores a reply and reports whether what it replies to is known.
func (s *store) addReply(r activity) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known(r.ReplyToActivityUUID) {
		return false
	}
	s.replies = push(s.replies, r)
	return true
}

func (s *store) known(uuid string) bool {
	switch uuid {
	case uuidAndrew, uuidReply, uuidWorf, uuidGarek:
		return true
	}
	return slices.ContainsFunc(s.posts, func(p post) bool { return p.UUID == uuid }) ||
		slices.ContainsFunc(s.replies, func(r activity) bool { return r.UUID == uuid })
}

// live returns the posts that have not expired, newest first, with replies.
func (s *store) live(now time.Time) []activity {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []activity
	for _, p := range slices.Backward(s.posts) {
		if p.expires.After(now) {
			out = append(out, s.withReplies(p.activity))
		}
	}
	return out
}

// home returns the live posts and the mock records, with stored replies.
func (s *store) home(now time.Time) []activity {
	out := s.live(now)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, a := range mockHome(now) {
		out = append(out, s.withReplies(a))
	}
	return out
}

// withReplies adds the stored replies to a: those to itself and, below them,
// those to its replies, in order of writing.
func (s *store) withReplies(a activity) activity {
	thread := map[string]bool{a.UUID: true}
	for _, r := range a.Replies {
		thread[r.UUID] = true
	}
	a.Replies = slices.Clone(a.Replies)
	for _, r := range s.replies {
		if !thread[r.ReplyToActivityUUID] {
			continue
		}
		thread[r.UUID] = true
		a.Replies = append(a.Replies, r)
		if a.RepliesCount != nil {
			a.RepliesCount = new(*a.RepliesCount + 1)
		}
	}
	return a
}

// search returns every activity that holds term, in the short form.
func (s *store) search(now time.Time, term string) []activity {
	mock := mockUser(now)
	mock.CreatedAt = isoformat(now)
	out := []activity{}
	for _, a := range append([]activity{mock}, s.home(now)...) {
		if matches(a, term) {
			out = append(out, found(a))
		}
	}
	return out
}

// conversation returns the messages that a takes part in, only those with b
// when b is not empty, oldest first.
func (s *store) conversation(now time.Time, a, b string) []message {
	out := []message{}
	between := func(sender, receiver string) bool {
		return (a == sender && (b == "" || b == receiver)) || (a == receiver && (b == "" || b == sender))
	}
	if between(userHandle, "worf") {
		out = append(out, mockMessages(now)...)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, d := range s.messages {
		if between(d.Handle, d.receiver) {
			out = append(out, d.message)
		}
	}
	return out
}
