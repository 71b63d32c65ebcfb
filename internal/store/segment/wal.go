package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/klauspost/compress/s2"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// A log file is the magic followed by frames: length of the body (u32), CRC-32C of the body
// (u32), body. The body is the S2 compressed list of encoded batches.
const (
	walMagic    = "TREFWAL\x01"
	frameHeader = 8
	// maxFrame bounds a frame's body and what it decompresses to, so that a damaged length can
	// not ask for all memory.
	maxFrame = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// wal is the open log file. It is used by one goroutine at a time.
type wal struct {
	disk *disk
	dir  string
	num  uint64
	file *os.File
	size int64
	// limit is the largest frame, before and after compression; see maxFrame.
	limit int
	sync  func(*os.File) error
	buf   []byte
	comp  []byte
}

func walName(num uint64) string { return fmt.Sprintf("%016d.wal", num) }

// createWAL begins a log file: num, or the first behind it that is not there. One that could
// neither be begun nor removed again may be.
func (d *disk) createWAL(dir string, num uint64) (*wal, error) {
	path := filepath.Join(dir, walName(num))
	f, err := d.open(path, os.O_CREATE|os.O_EXCL|os.O_RDWR)
	for errors.Is(err, os.ErrExist) {
		num++
		path = filepath.Join(dir, walName(num))
		f, err = d.open(path, os.O_CREATE|os.O_EXCL|os.O_RDWR)
	}
	if err != nil {
		return nil, err
	}
	err = d.write(f, []byte(walMagic), 0)
	if err == nil {
		err = d.sync(f)
	}
	if err == nil {
		err = d.syncDir(dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), d.remove(path))
	}
	return &wal{disk: d, dir: dir, num: num, file: f, size: int64(len(walMagic)), limit: maxFrame, sync: d.datasync}, nil
}

// append writes batches as one frame and syncs it. After an error the file ends where it did
// before, or broken reports that it must not be used again.
func (w *wal) append(batches []*event.Batch) (broken bool, err error) {
	w.buf = binary.AppendUvarint(w.buf[:0], uint64(len(batches)))
	for _, b := range batches {
		w.buf = b.AppendBinary(w.buf)
	}
	if len(w.buf) > w.limit {
		return false, fmt.Errorf("frame of %d bytes is larger than %d", len(w.buf), w.limit)
	}
	if need := frameHeader + s2.MaxEncodedLen(len(w.buf)); cap(w.comp) < need {
		w.comp = make([]byte, need)
	}
	w.comp = w.comp[:cap(w.comp)]
	body := s2.Encode(w.comp[frameHeader:], w.buf)
	if len(body) > w.limit {
		return false, fmt.Errorf("frame of %d compressed bytes is larger than %d", len(body), w.limit)
	}
	frame := w.comp[:frameHeader+len(body)]
	binary.LittleEndian.PutUint32(frame, uint32(len(body)))
	binary.LittleEndian.PutUint32(frame[4:], crc32.Checksum(body, castagnoli))
	if err := w.disk.write(w.file, frame, w.size); err != nil {
		return w.disk.truncate(w.file, w.size) != nil, err
	}
	if err := w.sync(w.file); err != nil {
		// After a failed sync the kernel may have forgotten dirty pages: what the file holds
		// is unknown. The frame is cut off all the same, for the caller is told that it was not
		// stored and may store it again.
		_ = w.disk.truncate(w.file, w.size)
		return true, err
	}
	w.size += int64(len(frame))
	return false, nil
}

func (w *wal) close() error { return w.file.Close() }

// readWAL calls yield for every batch of a log file, in order, and returns the number of bytes
// of frames that are whole. torn is how many bytes follow them.
func readWAL(path string, yield func(*event.Batch) error) (good, torn int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	magic := make([]byte, len(walMagic))
	if _, err := io.ReadFull(f, magic); err != nil || string(magic) != walMagic {
		if st.Size() <= int64(len(walMagic)) {
			return 0, st.Size(), nil // died while creating it
		}
		return 0, 0, fmt.Errorf("%s is not a write-ahead log", path)
	}
	pos := int64(len(walMagic))
	var head [frameHeader]byte
	for {
		if _, err := io.ReadFull(f, head[:]); err != nil {
			break
		}
		n := int64(binary.LittleEndian.Uint32(head[:]))
		// No frame is empty: zeros are what a file system leaves of data that it lost.
		if n == 0 || n > maxFrame || pos+frameHeader+n > st.Size() {
			break
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(f, body); err != nil || crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
			break
		}
		if err := decodeFrame(body, yield); err != nil {
			return pos, st.Size() - pos, err
		}
		pos += frameHeader + n
	}
	return pos, st.Size() - pos, nil
}

func decodeFrame(body []byte, yield func(*event.Batch) error) error {
	n, err := s2.DecodedLen(body)
	if err != nil || n > maxFrame {
		return fmt.Errorf("frame of %d bytes: %w", n, errors.Join(err, event.ErrCorrupt))
	}
	raw, err := s2.Decode(nil, body)
	if err != nil {
		return err
	}
	count, k := binary.Uvarint(raw)
	if k <= 0 {
		return event.ErrCorrupt
	}
	raw = raw[k:]
	for range count {
		b, rest, err := event.DecodeBatch(raw)
		if err != nil {
			return err
		}
		raw = rest
		if err := yield(b); err != nil {
			return err
		}
	}
	return nil
}

// numbered lists the files of dir with the given ending whose names are numbers, ascending.
func numbered(dir, ext string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var nums []uint64
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), ext)
		if n, err := strconv.ParseUint(base, 10, 64); ok && err == nil {
			nums = append(nums, n)
		}
	}
	sort.Slice(nums, func(i, j int) bool { return nums[i] < nums[j] })
	return nums, nil
}
