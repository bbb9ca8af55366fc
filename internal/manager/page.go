package manager

import _ "embed" // the page

// notProduction is said wherever a person meets this program.
const notProduction = "a reference manager for demo, tests and labs. It is NOT the production manager"

//go:embed page.html
var page []byte
