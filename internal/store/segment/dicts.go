package segment

import (
	"container/list"
	"sync"

	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// dicts keeps the dictionaries that were read last, within a number of bytes. It is shared by
// all queries.
type dicts struct {
	limit int

	mu    sync.Mutex // guards below
	bytes int
	byKey map[dictKey]*list.Element
	used  list.List // of *dictEntry, the last used first
}

type dictKey struct {
	file   uint64
	offset int64
}

type dictEntry struct {
	key  dictKey
	dict *colfile.Dict
}

func newDicts(limit int) *dicts { return &dicts{limit: limit, byKey: map[dictKey]*list.Element{}} }

// entryBytes is what an entry of the cache takes besides the dictionary.
const entryBytes = 200

// has reports whether the dictionary of a chunk is kept.
func (d *dicts) has(f *file, c *colfile.Chunk) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byKey[dictKey{f.num, c.Offset}] != nil
}

// read returns the dictionary of a chunk.
func (d *dicts) read(f *file, c *colfile.Chunk, t colfile.Type) (*colfile.Dict, error) {
	key := dictKey{f.num, c.Offset}
	d.mu.Lock()
	if e := d.byKey[key]; e != nil {
		d.used.MoveToFront(e)
		d.mu.Unlock()
		return e.Value.(*dictEntry).dict, nil
	}
	d.mu.Unlock()
	dict, err := f.ReadDict(c, t)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byKey[key] != nil || dict.Bytes() > d.limit/4 {
		return dict, nil
	}
	d.byKey[key] = d.used.PushFront(&dictEntry{key, dict})
	d.bytes += dict.Bytes() + entryBytes
	for d.bytes > d.limit {
		last := d.used.Back()
		e := d.used.Remove(last).(*dictEntry)
		delete(d.byKey, e.key)
		d.bytes -= e.dict.Bytes() + entryBytes
	}
	return dict, nil
}
