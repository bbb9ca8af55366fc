"""Tables, and their places in the documents."""

import dataclasses
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


def over(figure, bar):
    percent = (figure / bar - 1) * 100
    return ("%.1g %%" if percent < 1 else "%.0f %%") % percent


def verdict(figure, bar):
    return "%g: %s" % (bar, "holds" if figure <= bar else "missed by " + over(figure, bar))


def figure(value):
    return "%.*f" % (2 if value < 10 else 1 if value < 100 else 0, value)


@dataclasses.dataclass
class Ratio:
    """What one thing takes beside another: the ratio of each round, on the machine as it is and beside a load."""

    title: str
    quiet: list
    loaded: list
    bar: float = None

    def medians(self):
        return {"quiet": statistics.median(self.quiet), "beside load": statistics.median(self.loaded)}

    def row(self):
        low, high = percentiles(self.quiet + self.loaded)
        return self.title, *map(figure, self.medians().values()), "%s to %s" % (figure(low), figure(high)), self.verdict()

    def verdict(self):
        """The bar holds if both medians hold it."""
        if self.bar is None:
            return ""
        quiet, loaded = self.medians().values()
        if loaded <= self.bar:
            return verdict(quiet, self.bar)
        if quiet <= self.bar:
            return verdict(loaded, self.bar) + " beside load"
        return "%s, beside load by %s" % (verdict(quiet, self.bar), over(loaded, self.bar))

    def outside(self, values):
        """The medians that are not within the 10th to 90th percentile of values."""
        low, high = percentiles(values)
        return ["%s (%s)" % (self.title, kind) for kind, median in self.medians().items() if not low <= median <= high]


def ratio(both, ours, theirs, title, bar=None):
    """The ratio of two lists of times: both sides of each round had the same machine at the same time."""
    return Ratio(title, *([a / b for a, b in zip(times[ours], times[theirs])] for times in both), bar)


def ratios(listed):
    """The table of ratios, and whether the two kinds of rounds agree in it."""
    head = ["Ratio, of each round by itself", "Quiet", "Beside load", "10th to 90th percentile of both", "Bar"]
    rows = [one.row() for one in listed]
    if not any(one.bar for one in listed):
        head, rows = head[:-1], [row[:-1] for row in rows]
    outside = [name for one in listed for name in one.outside(one.quiet + one.loaded)]
    moved = [one.title for one in listed if one.outside(one.quiet)]
    said = "Outside of the spread of both: %s." % "; ".join(outside) if outside else "The medians of both are within that spread."
    said += " Outside of the spread of the quiet rounds alone: %s.\n" % ("; ".join(moved) or "no median")
    return table(head, rows) + "\n" + said


def rounds(both, name):
    return "%d rounds, and %d beside load" % tuple(len(times[name]) for times in both)


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


def now():
    """When the bench began, and what the machine did then: later the bench's own work is in the load."""
    return time.gmtime(), os.getloadavg()[0]


def machine(began):
    when, load = began
    busy = " Other work ran on the machine: judge by the ratios." if load > os.cpu_count() else ""
    return "Measured %s, on %s. Load average when the bench began: %.1f.%s\n" % (time.strftime("%Y-%m-%d", when), facts(), load, busy)


def place(texts):
    """Puts each text between its markers, wherever those stand."""
    for name in PLACES:
        path = lab.TOP / name
        content = path.read_text()
        for mark, text in texts.items():
            pattern = r"(<!-- bench: %s -->\n).*?(<!-- /bench -->)" % re.escape(mark)
            content = re.sub(pattern, lambda m, text=text: m.group(1) + "\n" + text.strip() + "\n\n" + m.group(2), content, flags=re.DOTALL)
        path.write_text(content)
