package validator

// Tables of countries, of which no option's rule asks.
var (
	iso3166_1_alpha2               map[string]struct{}
	iso3166_1_alpha2_eu            map[string]struct{}
	iso3166_1_alpha3               map[string]struct{}
	iso3166_1_alpha3_eu            map[string]struct{}
	iso3166_1_alpha_numeric        map[int]struct{}
	iso3166_1_alpha_numeric_eu     map[int]struct{}
	iso3166_2                      map[string]struct{}
	iana_subtag_registry_m49_codes map[string]struct{}
)
