package cwlogs

type runs struct{}

func newRuns() *runs { return &runs{} }
