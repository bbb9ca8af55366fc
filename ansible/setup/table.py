"""Holds the README's table of versions to the one that was measured.

The README has it without the counts, which change with every test. What Debian
has changes by itself, so another version there is told, and is no failure.

Usage: table.py MEASURED README [yes]; with yes it writes the README.
"""

import pathlib
import sys

START = "<!-- ansible/tests/versions --write -->"
END = "<!-- end -->"
COUNTS = ("passed", "failed", "skipped")


def without_counts(text):
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.strip().splitlines()]
    keep = [i for i, name in enumerate(rows[0]) if name not in COUNTS]
    return [[row[i] for i in keep] for row in rows]


def main(measured, readme, write=""):
    rows = without_counts(pathlib.Path(measured).read_text())
    path = pathlib.Path(readme)
    text = path.read_text()
    before, rest = text.split(START + "\n")
    table, after = rest.split(END, 1)
    if write:
        lines = "".join("| %s |\n" % " | ".join(row) for row in rows)
        path.write_text(before + START + "\n" + lines + END + after)
        return 0
    stated = without_counts(table)
    pinned = [row for row in rows if not row[2].startswith("Debian")]
    if pinned != [row for row in stated if not row[2].startswith("Debian")]:
        print("the README states another table: make versions VERSIONS=--write", file=sys.stderr)
        return 1
    if rows != stated:
        print("Debian has another ansible-core than the README says; make versions VERSIONS=--write tells it")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
