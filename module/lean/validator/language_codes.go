package validator

// Tables of languages, of which no option's rule asks.
var (
	iana_subtag_registry_variants map[string][]string
	iana_subtag_registry_extlangs map[string][]string
)
