package observe

import (
	"fmt"
)

// ActUnfinished says that the change of an interrupted run is finished.
func (v *View) ActUnfinished() {
	v.Result.Act(fmt.Sprintf("finish the change that an interrupted run began (%s)", v.StatePaths().Journal))
	v.Result.Changed = true
}

// ForeseeJournal lays the end state of a journal over what was observed.
func (v *View) ForeseeJournal() error {
	if v.Disk.Journal() == nil {
		return nil
	}
	v.ActUnfinished()
	end, err := v.Disk.Journal().EndState()
	if err != nil {
		return err
	}
	for _, f := range v.Disk.Files() {
		if after, ok := end[f.Path]; ok {
			*f = after
		}
	}
	v.Disk.judge(v.Now())
	return nil
}
