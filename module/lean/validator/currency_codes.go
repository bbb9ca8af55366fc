package validator

// Tables of currencies, of which no option's rule asks.
var (
	iso4217         map[string]struct{}
	iso4217_numeric map[int]struct{}
)
