"""Parts process and bytes: what a run of the program costs the host."""

import gzip
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
    command = [go, "build", "-trimpath", "-buildvcs=false", *gcflags.split(), "-tags", tags, "-ldflags", ldflags]
    command += ["-o", directory / name, directory / (name + ".go")]
    subprocess.run(command, env=dict(os.environ, CGO_ENABLED="0"), cwd=lab.TOP, check=True)
    return str(directory / name)


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
    return str(directory / "before-enrollment")


def process():
    with lab.Lab() as here:
        url, ca = here.manager("--auto-approve", "127.0.0.1")
        program = str(lab.BIN / "enrollment")
        trivial, libraries = build(here.work, "trivial", TRIVIAL), build(here.work, "libraries", LIBRARIES)

        def host(number):
            return prepare(here.work / ("host%d" % number), url, ca, number)

        converged = host(0)
        for expected in (True, False):
            result = json.loads(subprocess.run([program, converged], stdout=subprocess.PIPE, check=True).stdout)
            if result["state"] != "enrolled" or result["changed"] != expected:
                sys.exit("the run was not as it should be: " + result["msg"])
        old, olds, occasions = before(here.work), host(999), []
        if old:
            for _ in range(2):
                subprocess.run([old, olds], stdout=subprocess.DEVNULL, check=True)
            for _ in range(3):
                pairs = [(measure(old, olds)[1], measure(program, converged)[1]) for _ in range(report.count("RUNS", 100))]
                occasions.append(statistics.median(new for _old, new in pairs) / statistics.median(o for o, _new in pairs))
        samples = {kind: [] for kind in KINDS}
        for number in range(1, report.count("RUNS", 100) + 1):
            samples["trivial"].append(measure(trivial))
            samples["libraries"].append(measure(libraries))
            samples["converged"].append(measure(program, converged))
            samples["first"].append(measure(program, host(number)))
        last = number
        memory = {
            "converged": statistics.median(peak(program, converged) for _ in range(10)),
            "first": statistics.median(peak(program, host(last + n)) for n in range(1, 11)),
        }
        calls = {"trivial": traced(trivial), "libraries": traced(libraries), "converged": traced(program, converged), "first": traced(program, host(last + 11))}

    cpu, wall = ({kind: [sample[i] for sample in samples[kind]] for kind in KINDS} for i in (1, 0))
    bars = {"converged": (report.verdict(statistics.median(cpu["converged"]), 6), report.verdict(memory["converged"], 12))}
    rows = [
        ["CPU time, median"] + ["%.1f ms" % statistics.median(cpu[k]) for k in KINDS] + [bars["converged"][0]],
        ["CPU time, 10th to 90th percentile"] + ["%.1f to %.1f ms" % report.percentiles(cpu[k]) for k in KINDS] + [""],
        ["CPU time / trivial Go program"] + ["%.1f" % statistics.median(a / b for a, b in zip(cpu[k], cpu["trivial"])) for k in KINDS] + [""],
        ["Wall time, median"] + ["%.1f ms" % statistics.median(wall[k]) for k in KINDS] + [""],
        ["Peak memory"] + ["%.1f MB" % memory[k] for k in ("converged", "first")] + ["", "", bars["converged"][1]],
        ["System calls"] + [calls[k][0] for k in KINDS] + [""],
        ["Read"] + ["%.0f KB" % calls[k][1] for k in KINDS] + [""],
    ]
    text = report.table(("", "Converged", "First enrollment", "Its libraries alone", "Trivial Go program", "Bar, converged"), rows)
    text += "\n%d runs of each in turn; the manager is on loopback. The trivial program prints `{}`: what any Go program costs here. So does the other,\n" % len(cpu["first"])
    text += "which links what `enrollment` links, built in the same way: what is there before its first line.\n"
    if occasions:
        ratio = statistics.median(occasions)
        text += "\nConverged, beside the program of commit %s, %d runs of each in turn, on three occasions: CPU time %s of it. Bar %s.\n" % (
            BEFORE, len(cpu["first"]), ", ".join("%.2f" % o for o in occasions), report.verdict(ratio, 0.88))  # fmt: skip
    readme = [["CPU time", rows[0][1]], ["wall time", rows[3][1]], ["peak memory", rows[4][1]]]
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
    return {"bytes": report.table(("Program", "By Ansible's transfer", "By the fast path, once (gzip -9)", "Bar, gzip -9, MB"), rows)}
