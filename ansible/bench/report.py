"""Tables, and their places in the documents."""

import os
import pathlib
import platform
import re
import statistics
import subprocess
import time

import lab

PLACES = ("docs/PERFORMANCE.md", "README.md")


def count(name, default):
    return int(os.environ.get(name, default))


def table(head, rows):
    lines = ["| %s |" % " | ".join(map(str, head)), "|%s" % ("---|" * len(head))]
    return "\n".join(lines + ["| %s |" % " | ".join(map(str, row)) for row in rows]) + "\n"


def percentiles(values):
    if len(values) < 2:
        return values[0], values[0]
    cuts = statistics.quantiles(values, n=10, method="inclusive")
    return cuts[0], cuts[-1]


def spread(values, unit, digits=0):
    low, high = percentiles(values)
    return "%.*f %s" % (digits, statistics.median(values), unit), "%.*f to %.*f %s" % (digits, low, digits, high, unit)


def verdict(figure, bar):
    if bar is None:
        return ""
    if figure <= bar:
        return "%g: holds" % bar
    return "%g: missed by %.0f %%" % (bar, (figure / bar - 1) * 100)


def ratio(ours, theirs, title, bar):
    """A row: both sides of each round had the same machine at the same time."""
    ratios = [a / b for a, b in zip(ours, theirs)]
    low, high = percentiles(ratios)
    return title, "%.2f" % statistics.median(ratios), "%.2f to %.2f" % (low, high), verdict(statistics.median(ratios), bar)


def facts():
    """What the figures hang on, in one sentence."""
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(": ", 1)[1].strip()
            break
    memory = int(re.search(r"MemTotal: *(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1)) / 1e6
    said = subprocess.run([lab.ansible() / "ansible", "--version"], stdout=subprocess.PIPE, check=True, text=True).stdout
    go = subprocess.run(["go", "version"], stdout=subprocess.PIPE, check=True, text=True).stdout.split()[2]
    version = subprocess.run(["ssh", "-V"], stderr=subprocess.PIPE, check=True, text=True).stderr.split(",")[0]
    return "%s (%s), %d CPUs, %.0f GB, Linux %s, %s, Python %s, %s, %s" % (
        platform.machine(), model, os.cpu_count(), memory, platform.release(), re.search(r"core [\d.]+\w*", said).group().replace("core", "ansible-core"),
        platform.python_version(), go, version,
    )  # fmt: skip


def machine(started):
    load = max(os.getloadavg()[:2])
    busy = " Other work ran on the machine: judge by the ratios." if load > 2 * os.cpu_count() else ""
    return "Measured %s, on %s. Load average at the end: %.1f.%s\n" % (time.strftime("%Y-%m-%d", time.gmtime(started)), facts(), load, busy)


def place(texts):
    """Puts each text between its markers, wherever those stand."""
    for name in PLACES:
        path = lab.TOP / name
        content = path.read_text()
        for mark, text in texts.items():
            pattern = r"(<!-- bench: %s -->\n).*?(<!-- /bench -->)" % re.escape(mark)
            content = re.sub(pattern, lambda m, text=text: m.group(1) + "\n" + text.strip() + "\n\n" + m.group(2), content, flags=re.DOTALL)
        path.write_text(content)
