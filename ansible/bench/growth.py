"""Part growth: what a converged run and the agent pay for large files."""

import json
import os
import re
import statistics
import subprocess
import sys

import lab
import process
import report

# What is made large, and the bar of its ratio to the small host's run.
CASES = (
    ("the host as enrolled, whitelist of one entry", None, None),
    ("whitelist of 1,000 entries", 1_000, None),
    ("whitelist of 40,000 entries", 40_000, 3),
    ("whitelist of 40,000 networks", "networks", 3),
    ("whitelist of 100,000 entries", 100_000, None),
    ("config.yaml of 4 MB, comments for the most part", "config", None),
    ("20,000 files beside the certificates", "files", None),
)


def enlarge(directory, what):
    if what == "config":
        path = directory / "config.yaml"
        path.write_text(path.read_text() + "# a note that no one reads, of which there are many\n" * (4 * 1024 * 1024 // 52))
    elif what == "files":
        for n in range(20_000):
            (directory / ("other%05d.pem" % n)).touch()
    elif what:
        number, form = (40_000, '  - "10.%d.%d.%d/32"\n') if what == "networks" else (what, '  - "10.%d.%d.%d"\n')
        # The manager's own entry is the last: all others are looked at.
        path = directory / "whitelist.yaml"
        others = "".join(form % (n >> 16, n >> 8 & 255, n & 255) for n in range(number - 1))
        path.write_text('entries:\n' + others + '  - "127.0.0.1"\n')


def converged(here):
    """CPU times of the program on each host, in turn, by the case's number; and its peak memory there."""
    program = process.installed(lab.BIN / "enrollment")
    url, ca = here.manager("--auto-approve", "127.0.0.1")
    files = []
    for number, (title, what, _bar) in enumerate(CASES):
        directory = here.work / ("host%d" % number)
        file = process.prepare(directory, url, ca, number)
        subprocess.run([program, file], stdout=subprocess.DEVNULL, check=True)
        enlarge(directory, what)
        result = json.loads(subprocess.run([program, file], stdout=subprocess.PIPE, check=True).stdout)
        if result["changed"] or result["state"] != "enrolled":
            sys.exit("%s: the run was not as it should be: %s" % (title, result["msg"]))
        files.append(file)

    def in_turn(count):
        rounds = [[process.measure(program, file)[1] for file in files] for _ in range(count)]
        return dict(enumerate(zip(*rounds)))

    return lab.both(in_turn, report.count("GROWTH_RUNS", 20)), [process.peak(program, file) for file in files]


def agent(count):
    """The built agent's connections and memory, by a Go benchmark: figures by name."""
    connections = os.environ.get("GROWTH_CONNECTIONS", "1000x")
    command = [os.environ.get("GO", "go"), "test", "-run", "^$", "-bench", "^BenchmarkLarge$", "-benchtime", connections, "-count", str(count), "./internal/cmd/linux_patch_api"]
    done = subprocess.run(command, cwd=lab.TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True)
    if done.returncode:
        sys.exit("the benchmark failed:\n" + done.stdout[-4000:])
    found = {}
    for figure, name in re.findall(r"([\d.]+) ([a-z]+-(?:us|peak-MB|MB))", done.stdout):
        found.setdefault(name, []).append(float(figure))
    return found


def growth():
    with lab.Lab() as here:
        runs, peaks = converged(here)
    asked = quiet, loaded = lab.both(agent, 3)
    rows = [(title, *report.spread(runs[0][n], "ms", 1), "%.0f MB" % peaks[n]) for n, (title, _what, _bar) in enumerate(CASES)]
    text = report.table(("Converged run", "CPU time, median", "10th to 90th percentile", "Peak memory"), rows)
    rows = []
    for title, name, bar in (("as enrolled", "small", None), ("100,000 whitelist entries", "entries", None), ("1,000,000 certificates revoked", "revoked", 120)):
        peak, after = (max(quiet[name + kind] + loaded[name + kind]) for kind in ("-peak-MB", "-MB"))
        wall = "%.2f ms" % (statistics.median(quiet[name + "-us"]) / 1e3)
        rows.append((title, wall, "%.0f MB" % peak, "%.0f MB" % after, report.verdict(peak, bar) if bar else ""))
    text += "\n" + report.table(("The agent", "One connection and request", "Peak memory, files being read", "Afterwards", "Bar, peak in MB"), rows)
    listed = [report.ratio(runs, n, 0, "converged run, %s / as enrolled" % title, bar) for n, (title, _what, bar) in enumerate(CASES) if n]
    listed += [report.ratio(asked, name + "-us", "small-us", "the agent's connection, %s" % title, 1.2) for name, title in (
        ("revoked", "1,000,000 certificates revoked / none"), ("entries", "100,000 whitelist entries / one"))]  # fmt: skip
    text += "\n" + report.ratios(listed)
    text += "\nConverged runs: %s. The agent: %s, each of as many connections to three agents\n" % (report.rounds(runs, 0), report.rounds(asked, "small-us"))
    text += "in turn. What limits a connection are the signatures of TLS on both sides; what limits a converged run is reading and parsing what is large, once.\n"
    return {"growth": text}
