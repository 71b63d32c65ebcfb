package cwlogs

import (
	"slices"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// entity is who the events of a PutLogEvents call are about. Its attributes become fields of each.
type entity struct {
	given           bool
	keys, rest      int // attributes of the two kinds
	fields          []event.Field
	unknown, tooBig bool
}

// entityKeys are the key attributes that an entity can have.
var entityKeys = []string{"Type", "ResourceType", "Identifier", "Name", "Environment"}

// maxEntityText bounds a name and a value of an entity's attributes.
const maxEntityText = 512

// entity reads the member of PutLogEvents; what is not of its form is left out.
func (d *putDecoder) entity() bool {
	e := &d.in.entity
	*e = entity{given: true}
	attributes := func(prefix string, n *int, known []string) bool {
		if d.Peek() != '{' {
			return d.Skip(2)
		}
		return d.Object(2, func(name []byte) bool {
			if d.Peek() != '"' {
				return d.Skip(3)
			}
			key := string(name)
			text, ok := d.Str()
			*n++
			e.unknown = e.unknown || known != nil && !slices.Contains(known, key)
			if e.tooBig = e.tooBig || len(key) > maxEntityText || len(text) > maxEntityText; !e.tooBig && *n <= 10 {
				e.fields = append(e.fields, event.Field{Name: prefix + key, Value: event.String(string(text))})
			}
			return ok
		})
	}
	if d.Peek() != '{' {
		return d.Skip(1)
	}
	return d.Object(1, func(name []byte) bool {
		switch {
		case is(name, "keyAttributes"):
			return attributes("@entity.KeyAttributes.", &e.keys, entityKeys)
		case is(name, "attributes"):
			return attributes("@entity.Attributes.", &e.rest, nil)
		}
		return d.Skip(2)
	})
}

// fault says what is wrong with an entity, in AWS's terms; its events are stored all the same,
// without it.
func (e *entity) fault() string {
	switch {
	case !e.given:
		return ""
	case e.keys == 0:
		return "MissingRequiredFields"
	case e.tooBig:
		return "EntitySizeTooLarge"
	case e.unknown || e.keys < 2 || e.keys > 4:
		return "InvalidKeyAttributes"
	case e.rest > 10:
		return "InvalidAttributes"
	}
	return ""
}

type rejectedEntityInfo struct {
	ErrorType string `json:"errorType"`
}
