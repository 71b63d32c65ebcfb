package xray

import (
	"context"
	"time"
)

// Expire stores the documents in progress that are overdue at a time.
func (s *Server) Expire(ctx context.Context, now time.Time) error { return s.expire(ctx, now) }
