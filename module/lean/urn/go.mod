module github.com/leodido/go-urn

go 1.26
