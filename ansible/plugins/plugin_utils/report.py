# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the report says of all rows together, and the rows for other programs."""

from __future__ import annotations

import csv
import io

from ansible_collections.linux_patch.api.plugins.plugin_utils.fleet import duplicates

# By rank of a row; see fleet.
KINDS = ("bad", "bad", "due", "waiting", "good")
COLUMNS = (
    "host", "state", "days_left", "expires", "whitelist", "served", "fqdn", "machine_id", "manager", "subject", "san", "issuer", "serial",
    "fingerprint", "note", "warnings",
)  # fmt: skip
NAMES = dict(state="label", days_left="days", served="serves")
# What a spreadsheet takes for the beginning of a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def summary(rows):
    """Counts, machine-ids that occur twice, and issuers with their hosts."""
    issuers = {}
    for row in rows:
        if row["issuer"] != "-":
            issuers[row["issuer"]] = issuers.get(row["issuer"], 0) + 1
    counts = {kind: sum(1 for row in rows if KINDS[row["rank"]] == kind) for kind in ("good", "waiting", "due", "bad")}
    return dict(
        counts,
        total=len(rows),
        twice=sum(1 for row in rows if row["twice"]),
        duplicates=[dict(machine_id=machine, hosts=names) for machine, names in duplicates(rows)],
        issuers=[dict(issuer=issuer, hosts=count) for issuer, count in sorted(issuers.items(), key=lambda pair: (-pair[1], pair[0]))],
    )


def records(rows):
    """The rows for a program: days left is a number, and what there is none of is null."""
    return [{name: _value(name, row[NAMES.get(name, name)]) for name in COLUMNS} for row in rows]


def table(rows):
    """The rows as CSV, in which no text is a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for record in records(rows):
        writer.writerow(_cell(record[name]) for name in COLUMNS)
    return out.getvalue()


def _value(name, text):
    if text in ("", "-"):
        return None
    return int(text) if name == "days_left" else text


def _cell(value):
    if value is None:
        return ""
    return "'" + value if isinstance(value, str) and value.startswith(FORMULA) else value
