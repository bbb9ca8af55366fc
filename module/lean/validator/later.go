package validator

import "regexp"

// later is a regular expression that is compiled where it is used, not at each
// start of the program.
type later string

// FindStringSubmatch is that of regexp.Regexp.
func (l later) FindStringSubmatch(s string) []string {
	return regexp.MustCompile(string(l)).FindStringSubmatch(s)
}
