package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// BenchmarkConverged runs the built program on a converged host, and beside it
// in the same rounds what every Python module pays before it does anything:
// an interpreter that imports json. The ratio is of CPU time.
func BenchmarkConverged(b *testing.B) {
	args := convergedHost(b)
	program := bin.Path("enrollment")
	info, err := os.Stat(program)
	if err != nil {
		b.Fatal(err)
	}
	var ours, peer cost
	for b.Loop() {
		ours.add(b, program, args)
		peer.add(b, "python3", "-c", "import json")
	}
	n := float64(b.N)
	b.ReportMetric(ours.cpu.Seconds()*1000/n, "cpu-ms/op")
	b.ReportMetric(float64(ours.rss)/1024, "MB-rss")
	b.ReportMetric(float64(info.Size())/1e6, "MB-binary")
	b.ReportMetric(peer.cpu.Seconds()*1000/n, "python-cpu-ms/op")
	b.ReportMetric(ours.cpu.Seconds()/peer.cpu.Seconds(), "cpu-ratio")
}

// cost is what the runs of one program took.
type cost struct {
	cpu time.Duration
	// rss is the largest resident set, in KiB.
	rss int64
}

func (c *cost) add(b *testing.B, program string, args ...string) {
	cmd := exec.Command(program, args...)
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s: %v\n%s", program, err, out.String())
	}
	if strings.Contains(out.String(), `"changed":true`) {
		b.Fatalf("not converged: %s", out.String())
	}
	c.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.rss = max(c.rss, usage.Maxrss)
	}
}

// convergedHost lays out a host with a good set and returns its arguments file.
func convergedHost(b *testing.B) string {
	dir := b.TempDir()
	leaf := pkitest.NewCA(b).Issue(b, pkitest.Valid(time.Now().Add(-time.Hour), time.Now().Add(365*24*time.Hour)))
	bundle := leaf.Bundle(b)
	options := map[string]any{
		"manager_url": "https://192.0.2.1", "config_path": dir + "/config.yaml", "state_dir": dir + "/state",
		"whitelist_path": dir + "/whitelist.yaml", "crl_path": dir + "/crl.pem",
		"ca_cert_path": dir + "/ca.pem", "server_cert_path": dir + "/server.pem", "server_key_path": dir + "/server.key.pem",
	}
	write := func(path, content string, mode os.FileMode) {
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			b.Fatal(err)
		}
	}
	write(dir+"/ca.pem", bundle.CACrt, 0o644)
	write(dir+"/server.pem", bundle.ServerCrt, 0o644)
	write(dir+"/server.key.pem", bundle.ServerKey, 0o600)
	write(dir+"/whitelist.yaml", "entries:\n  - 192.0.2.0/24\n", 0o644)
	raw, err := json.Marshal(options)
	if err != nil {
		b.Fatal(err)
	}
	write(dir+"/args.json", string(raw), 0o600)
	return dir + "/args.json"
}
