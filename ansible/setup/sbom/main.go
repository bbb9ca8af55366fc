// Command sbom writes the software bill of materials of a release to standard
// output, as CycloneDX JSON: which Go modules are in each program, as the
// program itself says. The same files give the same bytes.
//
// Usage: sbom VERSION TARBALL PROGRAM...
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

const licence = "GPL-3.0-or-later"

func main() {
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, args []string) error {
	if len(args) < 3 {
		return errors.New("usage: sbom VERSION TARBALL PROGRAM [PROGRAM...]; some are missing")
	}
	bom, err := describe(args[0], args[1], args[2:])
	if err != nil {
		return err
	}
	encoder := cdx.NewBOMEncoder(out, cdx.BOMFileFormatJSON)
	encoder.SetPretty(true)
	encoder.SetEscapeHTML(false)
	// What the tools that read one understand today.
	return encoder.EncodeVersion(bom, cdx.SpecVersion1_6)
}

func describe(version, tarball string, programs []string) (*cdx.BOM, error) {
	release, err := file(tarball, "linux_patch.api", version)
	if err != nil {
		return nil, err
	}
	var components []cdx.Component
	var dependencies []cdx.Dependency
	var refs []string
	libraries := map[string]cdx.Component{}
	for _, path := range programs {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return nil, err
		}
		program, err := file(path, filepath.Base(info.Path), version)
		if err != nil {
			return nil, err
		}
		program.Properties = &[]cdx.Property{
			{Name: "goos", Value: setting(info, "GOOS")},
			{Name: "goarch", Value: setting(info, "GOARCH")},
		}
		var uses []string
		for _, l := range modules(info) {
			libraries[l.BOMRef] = l
			uses = append(uses, l.BOMRef)
		}
		components = append(components, *program)
		dependencies = append(dependencies, cdx.Dependency{Ref: program.BOMRef, Dependencies: &uses})
		refs = append(refs, program.BOMRef)
	}
	for _, l := range libraries {
		components = append(components, l)
	}
	slices.SortStableFunc(components[len(programs):], func(a, b cdx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	dependencies = append([]cdx.Dependency{{Ref: release.BOMRef, Dependencies: &refs}}, dependencies...)

	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: release}
	bom.Components = &components
	bom.Dependencies = &dependencies
	return bom, nil
}

// file describes a file of the release.
func file(path, name, version string) (*cdx.Component, error) {
	raw, err := os.ReadFile(path) //nolint:gosec // the file is one that who runs this has named
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	return &cdx.Component{
		BOMRef:   filepath.Base(path),
		Type:     cdx.ComponentTypeApplication,
		Name:     name,
		Version:  version,
		Hashes:   &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}},
		Licenses: &cdx.Licenses{{Expression: licence}},
	}, nil
}

// modules are those that were linked into a program, and the standard library.
func modules(info *buildinfo.BuildInfo) []cdx.Component {
	std := strings.TrimPrefix(strings.Fields(info.GoVersion)[0], "go")
	list := []cdx.Component{library("std", std, "")}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		list = append(list, library(dep.Path, dep.Version, dep.Sum))
	}
	return list
}

func library(path, version, sum string) cdx.Component {
	url := "pkg:golang/" + path + "@" + version
	l := cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: url}
	if sum != "" {
		// go.sum's own hash; it is not that of any one file.
		l.Properties = &[]cdx.Property{{Name: "go.sum", Value: sum}}
	}
	return l
}

func setting(info *buildinfo.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}
