package segment

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
)

// catalog says which segments are the store's, so that replacing some by others is one step. It
// is a text file that is replaced as a whole; its last line is the CRC-32C of those before it.
type catalog struct {
	// WAL is the newest log file whose events the segments have.
	WAL uint64
	// Seq is above the Seqs of all events that segments ever had.
	Seq   uint64
	Files []uint64
}

const catalogMagic = "trefoil segments 2"

var errCatalog = errors.New("catalog is damaged; without the file all segments of the folder are used, also such as were replaced by others")

func (c *catalog) text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nwal %d\nseq %d\n", catalogMagic, c.WAL, c.Seq)
	for _, n := range c.Files {
		fmt.Fprintf(&b, "file %d\n", n)
	}
	fmt.Fprintf(&b, "crc %08x\n", crc32.Checksum(b.Bytes(), castagnoli))
	return b.Bytes()
}

// readCatalog reads a catalog; there is none when found is false.
func readCatalog(path string) (c catalog, found bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, err
	}
	c, err = parseCatalog(text)
	if err != nil {
		return c, false, fmt.Errorf("read %s: %w", path, err)
	}
	return c, true, nil
}

func parseCatalog(text []byte) (c catalog, err error) {
	at := bytes.LastIndex(text, []byte("crc "))
	var sum uint32
	if at < 0 {
		return c, errCatalog
	}
	if _, err := fmt.Sscanf(string(text[at:]), "crc %08x\n", &sum); err != nil || sum != crc32.Checksum(text[:at], castagnoli) {
		return c, errCatalog
	}
	lines := bufio.NewScanner(bytes.NewReader(text[:at]))
	if !lines.Scan() || lines.Text() != catalogMagic {
		return c, fmt.Errorf("%w: catalog begins with %q", errUnusable, lines.Text())
	}
	for lines.Scan() {
		var key string
		var n uint64
		if _, err := fmt.Sscanf(lines.Text(), "%s %d", &key, &n); err != nil {
			return c, errCatalog
		}
		switch key {
		case "wal":
			c.WAL = n
		case "seq":
			c.Seq = n
		case "file":
			c.Files = append(c.Files, n)
		default:
			return c, errCatalog
		}
	}
	return c, lines.Err()
}
