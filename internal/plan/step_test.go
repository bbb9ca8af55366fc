package plan_test

import (
	"errors"
	"testing"

	"github.com/linux-patch/enroll/internal/plan"
)

func TestStepIsDoneOrSaid(t *testing.T) {
	failed := errors.New("failed")
	for _, c := range []struct {
		name  string
		check bool
		want  string
	}{
		{"a real run", false, "done"},
		{"check mode", true, "said"},
	} {
		got := ""
		step := plan.Step{
			Do:  func() error { got += "done"; return failed },
			Say: func() error { got += "said"; return failed },
		}
		if err := step.Perform(c.check); !errors.Is(err, failed) || got != c.want {
			t.Errorf("%s: got %q and %v, want %q and the step's error", c.name, got, err, c.want)
		}
		if err := (plan.Step{}).Perform(c.check); err != nil {
			t.Errorf("%s of an empty step: got %v, want nil", c.name, err)
		}
	}
}
