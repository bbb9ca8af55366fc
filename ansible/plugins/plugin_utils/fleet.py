# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the playbooks for a fleet show of all hosts at once.

A host that gave no answer, or a strange one, is a row like others: nothing here
fails because of what a host said.
"""

from __future__ import annotations

from ansible_collections.linux_patch.api.plugins.plugin_utils.text import host_name, machine_id, plain

WAITING = ("registered", "pending")

# What a reader is told of a state, and how soon someone must act: 0 and 1 need
# attention, 2 is due, 3 waits, 4 is well.
BROKEN, ATTENTION, DUE, WAITS, WELL = range(5)
LABELS = {"absent": "not enrolled", "foreign": "needs attention", "request_expired": "request expired"}


def waiting(hosts, hostvars):
    """The hosts whose request waits for an approval, as a person is to compare them."""
    rows = []
    for host in hosts:
        result = _dict(_registered(hostvars, host, "enroll_result"))
        if result.get("state") in WAITING:
            request = _dict(result.get("request"))
            system = _dict(request.get("os_details"))
            rows.append(dict(
                host=plain(host), fqdn=host_name(result.get("fqdn")), machine_id=machine_id(result.get("machine_id")),
                ip_address=plain(request.get("ip_address") or "-", 50),
                system=plain("%s %s" % (system.get("name") or "-", system.get("version") or ""), 80).strip(),
            ))  # fmt: skip
    return rows


def report_rows(hosts, hostvars):
    """One row for each host, the soonest expiry first; hosts without a certificate come last, the worst of them first."""
    rows = [_row(host, _dict(_registered(hostvars, host, "enroll_report"))) for host in hosts]
    return sorted(_note_duplicates(rows), key=lambda row: (row["expires"] == "-", row["expires"], row["rank"], row["host"]))


def _note_duplicates(rows):
    """Says of each row which other hosts report its machine-id."""
    shared = dict(duplicates(rows))
    for row in rows:
        names = shared.get(row["machine_id"], [])
        row["twice"] = bool(names)
        others = [name for name in names[:4] if name != row["host"]][:3]
        if others:
            more = len(names) - 1 - len(others)
            said = "the machine-id is also that of %s%s" % (", ".join(others), " and %d more" % more if more else "")
            row["note"] = "; ".join(text for text in (said, row["note"]) if text)
    return rows


def duplicates(rows):
    """The machine-ids that several hosts report, each with the hosts' names."""
    found = {}
    for row in rows:
        if row["machine_id"] != "-":
            found.setdefault(row["machine_id"], []).append(row["host"])
    return [(machine, names) for machine, names in sorted(found.items()) if len(names) > 1]


def _registered(hostvars, host, name):
    """A variable of a host; one that cannot be had is as good as none."""
    try:
        return hostvars[host].get(name)
    # Templates are evaluated here, and those of an inventory may raise anything.
    except Exception:  # pylint: disable=broad-except
        return None


def _row(host, report):
    label, rank, note = _standing(report)
    certificates = _dict(report.get("certificates"))
    server, whitelist = _dict(certificates.get("server")), _dict(report.get("whitelist"))
    covered = whitelist.get("covered_by") or whitelist.get("entry")
    days = report.get("days_left")
    row = dict(
        host=host, label=label, note=note,
        days=_days(days, ""),
        expires=plain(server.get("not_after") or "", 10).replace("...", ""),
        whitelist=covered if whitelist.get("present") else "",
        serves=_serves(_dict(report.get("service")), server),
        manager=_dict(report.get("manager")).get("url"),
        san=", ".join(_texts(server.get("san"))),
        warnings="; ".join(_texts(report.get("warnings"))),
        **{name: server.get(name) for name in ("subject", "issuer", "serial", "fingerprint")},
    )  # fmt: skip
    made = {name: plain("" if value is None else value) or ("" if name in ("note", "warnings") else "-") for name, value in row.items()}
    fqdn, machine = report.get("fqdn"), report.get("machine_id")
    return dict(made, rank=rank, fqdn=host_name(fqdn) if fqdn else "-", machine_id=machine_id(machine) if machine else "-")


def _standing(report):
    """What is said of a host: a label, how soon someone must act, and a note."""
    state, problems, said = report.get("state"), _texts(report.get("problems")), report.get("msg") or ""
    if report.get("unreachable"):
        return "unreachable", BROKEN, said
    if "error" in report or report.get("failed") is True or not isinstance(state, str):
        return "failed", BROKEN, said
    if state == "enrolled" and not problems:
        if report.get("valid") is False or _days(report.get("days_left"), 0) < 0:
            return "needs attention", ATTENTION, "the certificate is not valid"
        if report.get("renewal_due") is True:
            return "renewal due", DUE, "the next run renews the certificate"
        return "enrolled", WELL, ""
    if state == "enrolled":
        return "needs attention", ATTENTION, "; ".join(problems)
    if state in WAITING:
        return "waiting", WAITS, "since %s" % (report.get("pending_since") or "?")
    return LABELS.get(state, state), ATTENTION, "; ".join(problems) or said


def _serves(service, server):
    served = service.get("fingerprint")
    if not served:
        return ""
    return "yes" if served == server.get("fingerprint") else "another"


def _days(value, unknown):
    return value if isinstance(value, int) and not isinstance(value, bool) else unknown


def _dict(value):
    return value if hasattr(value, "get") else {}


def _texts(value):
    return [item for item in value if isinstance(item, str)] if isinstance(value, (list, tuple)) else []
