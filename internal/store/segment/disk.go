package segment

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// disk is how the store changes its folder. The zero value, after setDefaults, is the operating
// system; tests have single operations fail and keep account of what was synced. The contents
// of segments are written to the file that open returns.
type disk struct {
	open           func(path string, flag int) (*os.File, error)
	write          func(f *os.File, b []byte, at int64) error
	truncate       func(f *os.File, size int64) error
	sync, datasync func(f *os.File) error
	rename         func(from, to string) error
	remove         func(path string) error
	mkdir          func(path string) error
	syncDir        func(dir string) error
}

func (d *disk) setDefaults() {
	if d.open == nil {
		d.open = func(path string, flag int) (*os.File, error) { return os.OpenFile(path, flag, 0o644) }
	}
	if d.write == nil {
		d.write = func(f *os.File, b []byte, at int64) error {
			_, err := f.WriteAt(b, at)
			return err
		}
	}
	if d.truncate == nil {
		d.truncate = (*os.File).Truncate
	}
	if d.sync == nil {
		d.sync = (*os.File).Sync
	}
	if d.datasync == nil {
		d.datasync = func(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
	}
	if d.rename == nil {
		d.rename = os.Rename
	}
	if d.remove == nil {
		d.remove = os.Remove
	}
	if d.mkdir == nil {
		d.mkdir = func(path string) error { return os.Mkdir(path, 0o755) }
	}
	if d.syncDir == nil {
		d.syncDir = syncDir
	}
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// replaceFile replaces a file as a whole, durably. After an error the file is the old or the new
// one.
func (d *disk) replaceFile(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := d.open(tmp, os.O_CREATE|os.O_TRUNC|os.O_RDWR)
	if err != nil {
		return err
	}
	err = d.write(f, data, 0)
	if err == nil {
		err = d.sync(f)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, d.remove(tmp))
	}
	if err := d.rename(tmp, path); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(path))
}
