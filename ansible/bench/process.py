"""Parts process and bytes: what a run of the program costs the host."""

import gzip
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import time

import lab
import report

# The kernel counts to a program's peak what the process that started it had, so
# the one that measures memory is as small as a Python can be.
PEAK = """
import posix, sys
null = posix.open("/dev/null", posix.O_WRONLY)
child = posix.posix_spawn(sys.argv[1], sys.argv[1:], posix.environ, file_actions=[(posix.POSIX_SPAWN_DUP2, null, 1)])
print(posix.wait4(child, 0)[2].ru_maxrss)
"""

# The program before its speed was worked on, which it is held against.
BEFORE = "81859b8"

KINDS = ("converged", "first", "libraries", "trivial")

# The signatures of an installed set, by the CPU time that they take in a new
# process: certificate, CA and CRL are checked by the CA's key.
SIGNATURES = """package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

func read(name string) []byte {
	text, err := os.ReadFile(os.Args[1] + "/" + name)
	if err != nil {
		panic(err)
	}
	block, _ := pem.Decode(text)
	return block.Bytes
}

func now() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return t.Nano()
}

func main() {
	ca, err := x509.ParseCertificate(read("ca.pem"))
	server, err2 := x509.ParseCertificate(read("server.pem"))
	list, err3 := x509.ParseRevocationList(read("crl.pem"))
	if err != nil || err2 != nil || err3 != nil {
		panic("the set cannot be read")
	}
	runtime.LockOSThread()
	start := now()
	for _, err := range []error{ca.CheckSignatureFrom(ca), server.CheckSignatureFrom(ca), list.CheckSignatureFrom(ca)} {
		if err != nil {
			panic(err)
		}
	}
	fmt.Println(now() - start)
}
"""

TRIVIAL = 'package main\n\nimport "os"\n\nfunc main() { os.Stdout.WriteString("{}\\n") }\n'

# What stands before the program's first line: it links all of these, and they
# make their tables at each start.
LIBRARIES = """package main

import (
	"os"

	"github.com/go-playground/validator/v10"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/sirupsen/logrus"
	"github.com/spf13/afero"
	"go.yaml.in/yaml/v3"
)

var linked = []any{validator.New, retryablehttp.NewClient, logrus.New, afero.NewOsFs, yaml.Unmarshal}

func main() {
	if linked != nil {
		os.Stdout.WriteString("{}\\n")
	}
}
"""


def peak(*command):
    """Runs a program once and returns its peak memory in MB."""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", PEAK, *command], stdout=subprocess.PIPE, check=True)
    return int(done.stdout) / 1024


def measure(*command):
    """Runs a program once and returns wall and CPU time in ms."""
    with open(os.devnull, "wb") as nowhere:
        start = time.perf_counter()
        child = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1)])
        _, status, usage = os.wait4(child, 0)
        wall = time.perf_counter() - start
    if status:
        sys.exit("%s ended with status %d" % (command[0], status))
    return wall * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3


def traced(*command):
    """Runs a program once and returns how many system calls it made, and how many bytes it read."""
    done = subprocess.run(["strace", "-f", "-qq", "-e", "signal=none", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True, text=True)
    lines = done.stderr.splitlines()
    # What waits for another thread is the runtime's own, and differs in each run.
    calls = [line for line in lines if re.search(r"\w+\(", line) and not re.search(r"(futex|nanosleep|sched_yield|epoll_pwait|tgkill|rt_sig\w+)\(", line)]
    read = sum(int(n) for line in lines for n in re.findall(r"\bp?read(?:64)?(?:\(| resumed).*= (\d+)$", line))
    return len(calls), read / 1024


def build(directory, name, source):
    """Builds a program as the shipped ones are, and returns its path."""
    (directory / (name + ".go")).write_text(source)
    go, tags, gcflags, ldflags = (os.environ[name] for name in ("GO", "TAGS", "GCFLAGS", "LDFLAGS"))
    lean = subprocess.run([lab.TOP / "ansible/setup/lean"], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
    command = [go, "build", "-modfile=" + lean, "-trimpath", "-buildvcs=false", *gcflags.split(), "-tags", tags, "-ldflags", ldflags]
    command += ["-o", directory / name, directory / (name + ".go")]
    subprocess.run(command, env=dict(os.environ, CGO_ENABLED="0"), cwd=lab.TOP, check=True)
    return installed(directory / name)


def installed(program):
    """Writes a program as a host gets it, by gzip to a disk, and returns its path.

    What the linker has written lies in the page cache in other pieces, and a
    start of it takes up to a fifth more.
    """
    to = lab.TOP / "build/bench" / program.name
    to.parent.mkdir(parents=True, exist_ok=True)
    with open(to, "wb") as file:
        packed = subprocess.run(["gzip", "-1c", program], stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["gzip", "-dc"], input=packed, stdout=file, check=True)
    to.chmod(0o755)
    return str(to)


def prepare(directory, url, ca, number):
    """Makes the directory of a new host; returns its arguments file."""
    directory.mkdir()
    paths = ("ca.pem", "server.pem", "server.key.pem", "crl.pem", "whitelist.yaml", "audit.log")
    lines = "tls:\n  ca_cert: %s\n  server_cert: %s\n  server_key: %s\n  crl_path: %s\nwhitelist:\n  path: %s\nlogging:\n  file_path: %s\n"
    (directory / "config.yaml").write_text(lines % tuple(directory / path for path in paths))
    file = directory / "args.json"
    address = "10.4.%d.%d" % (number >> 8, number & 255)
    file.write_text(json.dumps(lab.options(directory, url, ca, fqdn="host%d.example.com" % number, report_ip=address)))
    return str(file)


def before(directory):
    """Builds the program as it was at BEFORE; None where that commit is not here."""
    tree = directory / "before"
    tree.mkdir()
    archive = subprocess.run(["git", "archive", BEFORE], cwd=lab.TOP, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if archive.returncode:
        return None
    subprocess.run(["tar", "-x"], cwd=tree, input=archive.stdout, check=True)
    go, tags, gcflags, ldflags = (os.environ[name] for name in ("GO", "TAGS", "GCFLAGS", "LDFLAGS"))
    command = [go, "build", "-trimpath", "-buildvcs=false", *gcflags.split(), "-tags", tags, "-ldflags", ldflags, "-o", directory / "before-enrollment", "./module/enrollment"]
    subprocess.run(command, env=dict(os.environ, CGO_ENABLED="0"), cwd=tree, check=True)
    return installed(directory / "before-enrollment")


def process():
    with lab.Lab() as here:
        url, ca = here.manager("--auto-approve", "127.0.0.1")
        program = installed(lab.BIN / "enrollment")
        trivial, libraries = build(here.work, "trivial", TRIVIAL), build(here.work, "libraries", LIBRARIES)
        signatures = build(here.work, "signatures", SIGNATURES)

        def host(number):
            return prepare(here.work / ("host%d" % number), url, ca, number)

        converged = host(0)
        for expected in (True, False):
            result = json.loads(subprocess.run([program, converged], stdout=subprocess.PIPE, check=True).stdout)
            if result["state"] != "enrolled" or result["changed"] != expected:
                sys.exit("the run was not as it should be: " + result["msg"])
        numbers = itertools.count(1)

        def in_turn(count):
            """CPU and wall times of each kind of run."""
            found = {kind + unit: [] for kind in KINDS for unit in ("", " wall")}
            found["signatures"] = []
            for _ in range(count):
                for kind, command in (("trivial", [trivial]), ("libraries", [libraries]), ("converged", [program, converged]), ("first", [program, host(next(numbers))])):
                    wall, cpu = measure(*command)
                    found[kind].append(cpu)
                    found[kind + " wall"].append(wall)
                checks = subprocess.run([signatures, here.work / "host0"], stdout=subprocess.PIPE, check=True).stdout
                found["signatures"].append(int(checks) / 1e6)
            return found

        runs = report.count("RUNS", 100)
        occasions, both = beside_before(here.work, host(999), [program, converged], runs), lab.both(in_turn, runs)
        memory = {
            "converged": statistics.median(peak(program, converged) for _ in range(10)),
            "first": statistics.median(peak(program, host(next(numbers))) for _ in range(10)),
        }
        calls = {"trivial": traced(trivial), "libraries": traced(libraries), "converged": traced(program, converged), "first": traced(program, host(next(numbers)))}
    return show(both, occasions, memory, calls)


def beside_before(directory, arguments, now, runs):
    """CPU times of a converged run and of one by the program at BEFORE, in turn, on three occasions; none without that commit."""
    old = before(directory)
    if not old:
        return []
    for _ in range(2):
        subprocess.run([old, arguments], stdout=subprocess.DEVNULL, check=True)

    def in_turn(count):
        pairs = [(measure(old, arguments)[1], measure(*now)[1]) for _ in range(count)]
        return dict(zip(("old", "new"), zip(*pairs)))

    return [lab.both(in_turn, runs) for _ in range(3)]


def show(both, occasions, memory, calls):
    quiet = both[0]
    cpu, wall = ([quiet[kind + unit] for kind in KINDS] for unit in ("", " wall"))
    rows = [
        ["CPU time, median"] + ["%.1f ms" % statistics.median(taken) for taken in cpu] + [report.verdict(statistics.median(cpu[0]), 6) + " (a quiet machine's)"],
        ["CPU time, 10th to 90th percentile"] + ["%.1f to %.1f ms" % report.percentiles(taken) for taken in cpu] + [""],
        ["Wall time, median"] + ["%.1f ms" % statistics.median(taken) for taken in wall] + [""],
        ["Peak memory"] + ["%.1f MB" % memory[k] for k in ("converged", "first")] + ["", "", report.verdict(memory["converged"], 12)],
        ["System calls"] + [calls[k][0] for k in KINDS] + [""],
        ["Read"] + ["%.0f KB" % calls[k][1] for k in KINDS] + [""],
    ]
    text = report.table(("", "Converged", "First enrollment", "Its libraries alone", "Trivial Go program", "Bar, converged"), rows)
    listed = [report.ratio(both, kind, "trivial", title + " / trivial Go program", bar) for kind, title, bar in (
        ("converged", "converged", 3.5), ("first", "first enrollment", None), ("libraries", "its libraries alone", None))]  # fmt: skip
    listed += [report.ratio(one, "new", "old", "converged, new / old, occasion %d" % n, 0.88) for n, one in enumerate(occasions, 1)]
    text += "\nCPU time:\n\n" + report.ratios(listed)
    text += "\n%s, with all programs in turn; the manager is on loopback. The trivial program prints `{}`: what any Go program costs here. So does the other,\n" % report.rounds(both, "trivial")
    text += "which links what `enrollment` links, built in the same way: what is there before its first line. Old is the program of commit %s, with as\n" % BEFORE
    text += "many rounds on each of three occasions.\n"
    share = [check / run for check, run in zip(quiet["signatures"], quiet["converged"])]
    text += "\nThe three signature checks of a set take %.0f µs, %.1f %% of a converged run (%.1f to %.1f %%).\n" % (
        statistics.median(quiet["signatures"]) * 1e3, statistics.median(share) * 100, *(100 * p for p in report.percentiles(share)))  # fmt: skip
    text += "\nThe limit is what happens before the program's first line: Go's start, and the tables and patterns that its libraries make. Most of the rest is the\n"
    text += "kernel's, which gives each page of memory that is written for the first time.\n"
    readme = [["CPU time", rows[0][1]], ["wall time", rows[2][1]], ["peak memory", rows[3][1]]]
    readme.append(["stripped binary size", "%.1f MB, in gzip %.1f MB" % tuple(n / 1e6 for n in size("amd64"))])
    return {"process": text, "readme": report.table(("converged run", "figure"), readme)}


def size(arch):
    packed = (lab.COLLECTION / "ansible_collections/linux_patch/api/artifacts" / ("linux-" + arch) / "enrollment.gz").read_bytes()
    return len(gzip.decompress(packed)), len(packed)


def bytes_():
    rows = []
    for arch in ("amd64", "arm64"):
        plain, packed = size(arch)
        rows.append((arch, "%.2f MB" % (plain / 1e6), "%.2f MB" % (packed / 1e6), report.verdict(packed / 1e6, 3.2)))
    text = report.table(("Program", "By Ansible's transfer", "By the fast path, once (gzip -9)", "Bar, gzip -9, MB"), rows)
    text += "\nThe same bytes on every machine. The limit is what an HTTPS client in Go takes: two thirds of it.\n"
    return {"bytes": text}
