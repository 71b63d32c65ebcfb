package meta_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/meta"
)

func open(t *testing.T, path string) *meta.DB {
	t.Helper()
	db, err := meta.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestDatasetsAreFoundAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b", "meta.db")
	db := open(t, path)
	a := must[meta.Dataset](t)(db.EnsureDataset(t.Context(), "bootcamp", meta.Honeycomb, "My Dataset!"))
	if a.Slug != "my-dataset-" || a.Name != "My Dataset!" {
		t.Errorf("slug %q, name %q", a.Slug, a.Name)
	}
	if b := must[meta.Dataset](t)(db.EnsureDataset(t.Context(), "bootcamp", meta.Honeycomb, "my dataset!")); b.ID != a.ID || b.Name != a.Name {
		t.Errorf("the same name in another case is dataset %d %q", b.ID, b.Name)
	}
	if x := must[meta.Dataset](t)(db.EnsureDataset(t.Context(), "bootcamp", meta.XRay, "my-dataset-")); x.ID == a.ID {
		t.Error("two kinds share a dataset")
	}
	if err := db.DeleteDataset(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Dataset(t.Context(), "bootcamp", meta.Honeycomb, "my-dataset-"); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("a deleted dataset: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, path)
	defer func() { _ = db.Close() }()
	if again := must[meta.Dataset](t)(db.EnsureDataset(t.Context(), "bootcamp", meta.Honeycomb, "My Dataset!")); again.ID <= a.ID {
		t.Errorf("id %d was given again after %d", again.ID, a.ID)
	}
	if all := must[[]meta.Dataset](t)(db.Datasets(t.Context(), "bootcamp", meta.Honeycomb)); len(all) != 1 {
		t.Errorf("%d datasets of Honeycomb, want 1", len(all))
	}
}

func TestKeys(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "meta.db"))
	defer func() { _ = db.Close() }()
	k, secret, err := db.CreateKey(t.Context(), "bootcamp", "ci")
	if err != nil || len(secret) != 64 {
		t.Fatalf("key %q: %v", secret, err)
	}
	if got, err := db.KeyBySecret(t.Context(), secret); err != nil || got.ID != k.ID || got.Environment != "bootcamp" {
		t.Errorf("KeyBySecret = %+v, %v", got, err)
	}
	if _, err := db.KeyBySecret(t.Context(), secret[:63]+"!"); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("a wrong secret: %v", err)
	}
	aws, owner, err := db.AWSSecret(t.Context(), k.AccessKeyID)
	if err != nil || len(aws) != 40 || owner.ID != k.ID {
		t.Errorf("AWSSecret = %q, %+v, %v", aws, owner, err)
	}
	if again, _, _ := db.AWSSecret(t.Context(), k.AccessKeyID); again != aws {
		t.Error("the AWS secret of a key changes")
	}
	if err := db.RevokeKey(t.Context(), k.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.AWSSecret(t.Context(), k.AccessKeyID); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("the AWS secret of a revoked key: %v", err)
	}
	if _, err := db.KeyBySecret(t.Context(), secret); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("a revoked key: %v", err)
	}
	if err := db.RevokeKey(t.Context(), k.ID); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("revoked twice: %v", err)
	}
}

func TestLogGroups(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "meta.db"))
	defer func() { _ = db.Close() }()
	g := must[meta.LogGroup](t)(db.CreateLogGroup(t.Context(), meta.LogGroup{Dataset: meta.Dataset{Environment: "e", Name: "cruddur"}, Class: "STANDARD"}, map[string]string{"a": "b"}))
	if _, err := db.CreateLogGroup(t.Context(), g, nil); !errors.Is(err, meta.ErrExists) {
		t.Errorf("made twice: %v", err)
	}
	if err := db.CreateLogStream(t.Context(), g.ID, "a//b"); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateLogStream(t.Context(), g.ID, "a//b"); !errors.Is(err, meta.ErrExists) {
		t.Errorf("stream made twice: %v", err)
	}
	if err := db.SetLogGroupRetention(t.Context(), g.ID, 7); err != nil {
		t.Fatal(err)
	}
	got := must[meta.LogGroup](t)(db.LogGroup(t.Context(), "e", "cruddur"))
	if got.RetentionDays != 7 || got.Kind != meta.Logs || time.Since(got.Created) > time.Minute {
		t.Errorf("group %+v", got)
	}
	if tags := must[map[string]string](t)(db.Tags(t.Context(), meta.LogGroupResource("e", "cruddur"))); tags["a"] != "b" {
		t.Errorf("tags %v", tags)
	}
	if err := db.DeleteLogGroup(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	if ok := must[bool](t)(db.LogStreamExists(t.Context(), g.ID, "a//b")); ok {
		t.Error("a stream outlives its group")
	}
	if tags := must[map[string]string](t)(db.Tags(t.Context(), meta.LogGroupResource("e", "cruddur"))); len(tags) != 0 {
		t.Errorf("tags outlive their group: %v", tags)
	}
}

func TestXRay(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "meta.db"))
	defer func() { _ = db.Close() }()
	g := meta.XRayGroup{Name: "Cruddur", UniqueID: "X", Filter: `service("backend-flask")`}
	if err := db.CreateXRayGroup(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateXRayGroup(t.Context(), g); !errors.Is(err, meta.ErrExists) {
		t.Errorf("made twice: %v", err)
	}
	if err := db.PutPendingSegments(t.Context(), []meta.PendingSegment{{Environment: "e", TraceID: "t", SegmentID: "s", Document: "{}"}}); err != nil {
		t.Fatal(err)
	}
	if list := must[[]meta.PendingSegment](t)(db.PendingSegments(t.Context())); len(list) != 1 {
		t.Errorf("%d pending", len(list))
	}
	if v := must[string](t)(db.Setting(t.Context(), "none")); v != "" {
		t.Errorf("setting %q", v)
	}
}
