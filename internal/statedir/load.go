package statedir

// Load reads the state directory. It changes nothing.
func Load(o Options) (*Store, error) {
	s := &Store{Options: o}
	for _, read := range []func() error{s.loadJournal, s.loadTokens, s.loadSpool, s.loadProvenance} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	s.tellClonesApart()
	return s, nil
}
