package cwlogs

// HoldRuns keeps queries from running until release is called.
func (s *Server) HoldRuns() (release func()) {
	for range maxRunning {
		s.runs.slots <- struct{}{}
	}
	return func() {
		for range maxRunning {
			<-s.runs.slots
		}
	}
}

// Tails is the number of open sessions of live tail.
func (s *Server) Tails() int { return int(s.tails.n.Load()) }
