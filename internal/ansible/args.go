// Package ansible speaks Ansible's binary-module protocol: a JSON object of
// arguments comes in, exactly one JSON object goes out. Ansible checks no
// argument of a binary module, so all of argument_spec's work is done here, in
// Ansible's own wording: unknown options, types, choices, options that exclude
// each other. It knows nothing of how a host is enrolled.
package ansible

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/jsontext"
	"github.com/linux-patch/enroll/internal/options"
)

// The modules of the collection.
const (
	ModuleEnrollment = "enrollment"
	ModuleInfo       = "enrollment_info"
	collection       = "linux_patch.api."
)

// maxArguments bounds the arguments; a CA bundle in manager_ca_pem fits well.
const maxArguments = 4 << 20

// Control is what Ansible tells a module beside its options.
type Control struct {
	// Module is ModuleEnrollment or ModuleInfo.
	Module string
	Check  bool
	Diff   bool
	// Ansible says that Ansible calls, which reads JSON and nothing else.
	Ansible bool
	// Bundle is a re-issued set. The controller hands it over on standard input,
	// so that the key is in no file, no variable and no result on its way.
	Bundle []byte
	// Info are the options of a report that a run which changed nothing is to
	// bring along; nil where none is wanted.
	Info map[string]any
}

// arguments are the decoded but untyped options.
type arguments struct {
	control Control
	options map[string]any
}

// Reader decodes arguments. Its fields are what option values may refer to.
type Reader struct {
	// Getenv looks up `$VAR` and `~` in paths.
	Getenv func(string) string
	// HomeOf finds the home directory for `~user` in paths.
	HomeOf func(user string) (string, error)
}

// controlBundle is no option: in a playbook it would be in a variable.
const controlBundle = "_ansible_linux_patch_bundle"

// controlInfo saves the role a second command for its verification.
const controlInfo = "_ansible_linux_patch_info"

// split reads one JSON object and takes Ansible's control keys out of it.
func split(raw []byte, module string) (arguments, error) {
	a := arguments{control: Control{Module: module}, options: map[string]any{}}
	values, err := jsontext.Object[any](raw)
	if err != nil {
		return a, contract.Errorf(contract.CodeInvalidArgument, "the arguments are not one JSON object: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		if !strings.HasPrefix(name, "_ansible_") {
			a.options[name] = value
			continue
		}
		a.control.Ansible = true
		switch name {
		case controlBundle:
			a.control.Bundle, err = json.Marshal(value)
		case controlInfo:
			a.control.Info, _ = value.(map[string]any)
		case "_ansible_check_mode":
			a.control.Check, err = toBool(value)
		case "_ansible_diff":
			a.control.Diff, err = toBool(value)
		case "_ansible_module_name":
			if s, ok := value.(string); ok && strings.TrimPrefix(s, collection) == ModuleInfo {
				a.control.Module = ModuleInfo
			}
		}
		if err != nil {
			return a, contract.Errorf(contract.CodeInvalidArgument, "%s: %w", name, err)
		}
	}
	return a, nil
}

// Params decodes the options of the enrollment module.
func (r Reader) Params(a arguments) (options.Params, error) {
	p := options.DefaultParams()
	if err := r.fill(a, &p); err != nil {
		return p, err
	}
	p.Check, p.Bundle = a.control.Check, a.control.Bundle
	return p, related(p)
}

// InfoParams decodes the options of the enrollment_info module. A person may hand
// the program the file that enrolled the host: options of enrollment alone are
// read, so that a mistake in them is still one, and are of no effect.
func (r Reader) InfoParams(a arguments) (options.InfoParams, error) {
	p := options.DefaultInfoParams()
	if !a.control.Ansible {
		var others arguments
		a, others = withoutEnrollmentOnly(a)
		full := options.DefaultParams()
		if err := r.fill(others, &full); err != nil {
			return p, err
		}
	}
	return p, r.fill(a, &p)
}

// withoutEnrollmentOnly parts the options that enrollment alone has from the others.
func withoutEnrollmentOnly(a arguments) (info, others arguments) {
	info = arguments{control: a.control, options: maps.Clone(a.options)}
	others = arguments{control: a.control, options: map[string]any{}}
	known := Options(options.InfoParams{})
	for _, name := range Options(options.Params{}) {
		if value, given := a.options[name]; given && !slices.Contains(known, name) {
			others.options[name] = value
			delete(info.options, name)
		}
	}
	return info, others
}

// related checks options against each other, as argument_spec's
// mutually_exclusive and required_by do.
func related(p options.Params) error {
	if p.ManagerCAPath != "" && p.ManagerCAPEM != "" {
		return contract.Errorf(contract.CodeInvalidArgument, "parameters are mutually exclusive: manager_ca_path|manager_ca_pem")
	}
	if p.BundlePath != "" && p.BundleCAFingerprint == "" {
		return contract.Errorf(contract.CodeInvalidArgument, "missing parameter(s) required by 'bundle_path': bundle_ca_fingerprint")
	}
	if p.RepoConfigManage && p.RepoKeyFingerprint == "" {
		return contract.Errorf(contract.CodeInvalidArgument, "missing parameter(s) required by 'repo_config_manage': repo_key_fingerprint")
	}
	if p.BundlePath != "" && p.State != string(contract.StateEnrolled) {
		return contract.Errorf(contract.CodeInvalidArgument, "bundle_path goes with state=enrolled only, got: %s", p.State)
	}
	return nil
}
