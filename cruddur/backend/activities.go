package backend

import (
	"strings"
	"time"
)

// The acting user: there is no authentication.
const (
	userHandle = "andrewbrown"
	userName   = "Andrew Brown"
)

// activity is a post or a reply. Which members are present differs between the
// tutorial's mock records; the fields are in the order of their names.
type activity struct {
	CreatedAt           string     `json:"created_at"`
	DisplayName         string     `json:"display_name,omitempty"`
	ExpiresAt           string     `json:"expires_at,omitempty"`
	Handle              string     `json:"handle"`
	Likes               *int       `json:"likes,omitempty"`
	LikesCount          *int       `json:"likes_count,omitempty"`
	Message             string     `json:"message"`
	Replies             []activity `json:"replies,omitzero"`
	RepliesCount        *int       `json:"replies_count,omitempty"`
	ReplyToActivityUUID string     `json:"reply_to_activity_uuid,omitempty"`
	RepostsCount        *int       `json:"reposts_count,omitempty"`
	UUID                string     `json:"uuid"`
}

// shownActivity is the answer of the show route, whose mock record has a single
// object where the others have an array of replies.
type shownActivity struct {
	CreatedAt string   `json:"created_at"`
	ExpiresAt string   `json:"expires_at"`
	Handle    string   `json:"handle"`
	Message   string   `json:"message"`
	Replies   activity `json:"replies"`
	UUID      string   `json:"uuid"`
}

// message is a direct message; a message group has no text.
type message struct {
	CreatedAt   string `json:"created_at"`
	DisplayName string `json:"display_name"`
	Handle      string `json:"handle"`
	Message     string `json:"message,omitempty"`
	UUID        string `json:"uuid"`
}

const (
	uuidAndrew = "68f126b0-1ceb-4a33-88be-d90fa7109eee"
	uuidReply  = "26e12864-1c26-5c3a-9658-97a10f8fea67"
	uuidWorf   = "66e12864-8c26-4c3a-9658-95a10f8fea67"
	uuidGarek  = "248959df-3079-4947-b847-9e0892d1bab4"

	day = 24 * time.Hour
)

func mockReply(now time.Time, handle, text string) activity {
	return activity{
		CreatedAt: isoformat(now.Add(-2 * day)), Handle: handle, Message: text,
		LikesCount: new(0), RepliesCount: new(0), RepostsCount: new(0),
		ReplyToActivityUUID: uuidAndrew, UUID: uuidReply,
	}
}

func mockHome(now time.Time) []activity {
	return []activity{
		{
			CreatedAt: isoformat(now.Add(-2 * day)), ExpiresAt: isoformat(now.Add(5 * day)),
			Handle: "Andrew Brown", Message: "Cloud is very fun!",
			LikesCount: new(5), RepliesCount: new(1), RepostsCount: new(0),
			Replies: []activity{mockReply(now, "Worf", "This post has no honor!")},
			UUID:    uuidAndrew,
		},
		{
			CreatedAt: isoformat(now.Add(-7 * day)), ExpiresAt: isoformat(now.Add(9 * day)),
			Handle: "Worf", Message: "I am out of prune juice",
			Likes: new(0), Replies: []activity{}, UUID: uuidWorf,
		},
		{
			CreatedAt: isoformat(now.Add(-time.Hour)), ExpiresAt: isoformat(now.Add(12 * time.Hour)),
			Handle: "Garek", Message: "My dear doctor, I am just simple tailor",
			Likes: new(0), Replies: []activity{}, UUID: uuidGarek,
		},
	}
}

func mockNotifications(now time.Time) []activity {
	return []activity{{
		CreatedAt: isoformat(now.Add(-2 * day)), ExpiresAt: isoformat(now.Add(5 * day)),
		Handle: "Donny", Message: "Test with the notifications backend endpoint!",
		LikesCount: new(5), RepliesCount: new(1), RepostsCount: new(0),
		Replies: []activity{mockReply(now, "worf", "this post has no honor!")},
		UUID:    uuidAndrew,
	}}
}

func mockUser(now time.Time) activity {
	return activity{
		CreatedAt: isoformat(now.Add(-day)), ExpiresAt: isoformat(now.Add(31 * day)),
		Handle: "Andrew Brown", Message: "Cloud is fun!", UUID: uuidGarek,
	}
}

func mockShow(now time.Time) shownActivity {
	return shownActivity{
		CreatedAt: isoformat(now.Add(-2 * day)), ExpiresAt: isoformat(now.Add(5 * day)),
		Handle: "Andrew Brown", Message: "Cloud is fun!", UUID: uuidAndrew,
		Replies: activity{
			CreatedAt: isoformat(now.Add(-2 * day)), Handle: "Worf",
			Message: "This post has no honor!", UUID: uuidReply,
		},
	}
}

func mockMessageGroups(now time.Time) []message {
	return []message{
		{CreatedAt: isoformat(now), DisplayName: "Andrew Brown", Handle: "andrewbrown", UUID: "24b95582-9e7b-4e0a-9ad1-639773ab7552"},
		{CreatedAt: isoformat(now), DisplayName: "Worf", Handle: "worf", UUID: "417c360e-c4e6-4fce-873b-d2d71469b4ac"},
	}
}

// mockMessages are what the acting user wrote to worf.
func mockMessages(now time.Time) []message {
	return []message{
		{CreatedAt: isoformat(now), DisplayName: userName, Handle: userHandle, Message: "Cloud is fun!", UUID: "4e81c06a-db0f-4281-b4cc-98208537772a"},
		{CreatedAt: isoformat(now), DisplayName: userName, Handle: userHandle, Message: "This platform is great!", UUID: uuidWorf},
	}
}

// found is what search answers with: four members of an activity.
func found(a activity) activity {
	return activity{CreatedAt: a.CreatedAt, Handle: a.Handle, Message: a.Message, UUID: a.UUID}
}

func matches(a activity, term string) bool {
	term = strings.ToLower(term)
	return strings.Contains(strings.ToLower(a.Message), term) || strings.Contains(strings.ToLower(a.Handle), term)
}
