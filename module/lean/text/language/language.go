// Package language stands in for that of golang.org/x/text where the programs
// for hosts are built: validator's rules for language tags need it, no option has
// one, and its tables would be made at each start.
package language

import "errors"

var errLeftOut = errors.New("language tags are left out of this program")

// Tag is a language tag.
type Tag struct{}

// Base is a base language.
type Base struct{}

// String returns no language.
func (Base) String() string { return "" }

// Script is a script.
type Script struct{}

// Region is a region.
type Region struct{}

// Variant is a variant.
type Variant struct{}

// Extension is an extension.
type Extension struct{}

// Parse takes nothing for a tag.
func Parse(string) (Tag, error) { return Tag{}, errLeftOut }

// ParseBase takes nothing for a language.
func ParseBase(string) (Base, error) { return Base{}, errLeftOut }

// ParseScript takes nothing for a script.
func ParseScript(string) (Script, error) { return Script{}, errLeftOut }

// ParseRegion takes nothing for a region.
func ParseRegion(string) (Region, error) { return Region{}, errLeftOut }

// ParseVariant takes nothing for a variant.
func ParseVariant(string) (Variant, error) { return Variant{}, errLeftOut }

// ParseExtension takes nothing for an extension.
func ParseExtension(string) (Extension, error) { return Extension{}, errLeftOut }
