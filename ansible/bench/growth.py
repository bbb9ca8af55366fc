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
        # The manager's own entry is the last: all others are looked at.
        path = directory / "whitelist.yaml"
        others = "".join('  - "10.%d.%d.%d"\n' % (n >> 16, n >> 8 & 255, n & 255) for n in range(what - 1))
        path.write_text('entries:\n' + others + '  - "127.0.0.1"\n')


def converged(here):
    """The program's time on each host, in turn."""
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
    samples = [[] for _ in files]
    for _ in range(report.count("GROWTH_RUNS", 20)):
        for file, taken in zip(files, samples):
            taken.append(process.measure(program, file)[1])
    return samples, [process.peak(program, file) for file in files]


def agent():
    """The built agent's connections and memory, by a Go benchmark: figures by name."""
    connections = os.environ.get("GROWTH_CONNECTIONS", "1000x")
    command = [os.environ.get("GO", "go"), "test", "-run", "^$", "-bench", "^BenchmarkLarge$", "-benchtime", connections, "-count", "3", "./internal/cmd/linux_patch_api"]
    done = subprocess.run(command, cwd=lab.TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True)
    if done.returncode:
        sys.exit("the benchmark failed:\n" + done.stdout[-4000:])
    found = {}
    for figure, name in re.findall(r"([\d.]+) ([a-z]+-(?:us|peak-MB|MB))", done.stdout):
        found.setdefault(name, []).append(float(figure))
    return found


def growth():
    with lab.Lab() as here:
        samples, peaks = converged(here)
    rows = []
    for (title, _what, bar), taken, peak in zip(CASES, samples, peaks):
        ratios = [a / b for a, b in zip(taken, samples[0])]
        ratio = statistics.median(ratios)
        row = (title, "%.1f ms" % statistics.median(taken), "%.1f to %.1f ms" % report.percentiles(taken), "%.2f" % ratio)
        rows.append(row + ("%.2f to %.2f" % report.percentiles(ratios), "%.0f MB" % peak, report.verdict(ratio, bar)))
    head = ("Converged run", "CPU time, median", "10th to 90th percentile", "To the first line", "10th to 90th percentile", "Peak memory", "Bar")
    text = report.table(head, rows)
    found, rows = agent(), []
    for title, large in (("1,000,000 certificates revoked / none", "revoked"), ("100,000 whitelist entries / one", "entries")):
        ratios = [many / few for many, few in zip(found[large + "-us"], found["small-us"])]
        row = (title, "%.2f ms" % (statistics.median(found["small-us"]) / 1e3), "%.2f ms" % (statistics.median(found[large + "-us"]) / 1e3))
        rows.append(row + ("%.2f" % statistics.median(ratios), "%.2f to %.2f" % (min(ratios), max(ratios)), report.verdict(statistics.median(ratios), 1.2)))
    text += "\n" + report.table(("One connection and request of the agent", "Small", "Large", "Ratio", "Least and most of three", "Bar"), rows)
    rows = []
    for title, name, bar in (("as enrolled", "small", None), ("100,000 whitelist entries", "entries", None), ("1,000,000 certificates revoked", "revoked", 120)):
        peak = max(found[name + "-peak-MB"])
        rows.append((title, "%.0f MB" % peak, "%.0f MB" % max(found[name + "-MB"]), report.verdict(peak, bar)))
    text += "\n" + report.table(("The agent's memory", "Peak, files being read", "Afterwards", "Bar, MB"), rows)
    text += "\nThe three agents are asked in turn, so other work on the machine is in each of their times. What limits a connection are the signatures of\n"
    text += "TLS on both sides; what limits a converged run is reading and parsing what is large, once.\n"
    return {"growth": text}
