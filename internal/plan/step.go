package plan

// Step is one part of what a run does: how it is done, and what check mode says
// of it. Either may be nil. A run is made of steps, so that nothing else has to
// ask whether it is in check mode, and what check mode says stands beside what is
// done.
type Step struct {
	Do  func() error
	Say func() error
}

// Perform does the step, or in check mode says what it would do.
func (s Step) Perform(check bool) error {
	act := s.Do
	if check {
		act = s.Say
	}
	if act == nil {
		return nil
	}
	return act()
}
