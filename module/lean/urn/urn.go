// Package urn stands in for the library of that name where the programs for hosts
// are built: validator's rules for URNs need it, no option has one, and the
// library would be 20 KB more on each host. internal/leanrules_test.go sees that no
// option gets such a rule.
package urn

// ParsingMode is a standard for URNs.
type ParsingMode int

// RFC8141Only stands for that standard.
const RFC8141Only ParsingMode = 1

// Option is an option of Parse.
type Option func()

// URN is a parsed URN.
type URN struct{}

// WithParsingMode has no effect.
func WithParsingMode(ParsingMode) Option { return nil }

// Parse takes nothing for a URN.
func Parse([]byte, ...Option) (*URN, bool) { return nil, false }
