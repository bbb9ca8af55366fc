package ansible

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/device"
	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/report"
)

// The formats of a report.
const (
	formatJSON       = "json"
	formatText       = "text"
	formatPrometheus = "prometheus"
)

// reportMode lets the collector of the metrics read them: a report has no secret.
const reportMode = 0o644

// report writes what info found in the form that was asked for, and returns the
// exit code.
func (p Program) report(info *enroll.Info, secrets *Secrets, call call) int {
	content := p.render(info, secrets, call)
	if call.outputFile == "" {
		if _, err := p.Stdout.Write(content); err != nil {
			return contract.CodeInternal.Info().Exit
		}
	} else if err := p.replace(call.outputFile, content); err != nil {
		return p.write(report.Failed(err), secrets)
	}
	if exit := info.Exit(); exit != 0 || !call.exitCode {
		return exit
	}
	return info.StateExit()
}

func (p Program) render(info *enroll.Info, secrets *Secrets, call call) []byte {
	switch call.format {
	case formatText:
		return secrets.scrub([]byte(text(info, p.colour(call))))
	case formatPrometheus:
		return secrets.scrub([]byte(metrics(info)))
	default:
		return encode(info, secrets)
	}
}

// colour says whether colours help: https://no-color.org.
func (p Program) colour(call call) bool {
	return p.Terminal && call.outputFile == "" && p.Reader.Getenv("NO_COLOR") == "" && p.Reader.Getenv("TERM") != "dumb"
}

// replace puts content in the file's place at once: node_exporter reads a whole
// file or the one before, and no name that ends in .prom is half written.
func (p Program) replace(file string, content []byte) (err error) {
	defer func() {
		if err != nil {
			err = contract.Errorf(contract.CodeFilesystem, "--output-file %s cannot be written: %w", file, err)
		}
	}()
	out, err := device.Open(p.Files, file)
	if err != nil {
		return err
	}
	if out != nil {
		_, err = out.Write(content)
		return errors.Join(err, out.Close())
	}
	directory := "."
	if slash := strings.LastIndexByte(file, '/'); slash >= 0 {
		directory = file[:slash+1]
	}
	temporary, err := afero.TempFile(p.Files, directory, ".enrollment-*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = p.Files.Remove(temporary.Name())
		}
	}()
	_, err = temporary.Write(content)
	if closed := temporary.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = p.Files.Chmod(temporary.Name(), reportMode)
	}
	if err != nil {
		return err
	}
	return p.Files.Rename(temporary.Name(), file)
}

// unreported makes a report of a failure before the host was looked at, so that
// a monitoring that reads the file learns of it.
func unreported(err error) *enroll.Info {
	failed := report.Failed(err)
	return &enroll.Info{Failed: true, Msg: failed.Msg, Error: failed.Error, Problems: []string{}, Warnings: []string{}}
}

// checkFormat holds the words of info's command line against each other.
func (c call) checkFormat() error {
	switch outside := c.module != ModuleInfo; {
	case outside && c.exitCode:
		return usageError("--exit-code is for info only")
	case outside && c.format != "":
		return usageError("--output is for info only")
	case outside && c.outputFile != "":
		return usageError("--output-file is for info only")
	case c.format != "" && !slices.Contains([]string{formatJSON, formatText, formatPrometheus}, c.format):
		return usageError(fmt.Sprintf("value of --output must be one of: json, text, prometheus, got: %s", clip(c.format)))
	}
	return nil
}
