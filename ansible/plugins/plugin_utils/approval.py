# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the playbooks hand to the module enrollment_approval."""

from __future__ import annotations

import ipaddress


def expected_fqdn(variables):
    """The only name that may be approved for a host, or "" where the inventory does not say."""
    for name in ("enroll_expected_fqdn", "enroll_fqdn"):
        if _get(variables, name):
            return str(_get(variables, name))
    name = str(_get(variables, "inventory_hostname") or "")
    return name if "." in name and not _is_address(name) else ""


def expected_addresses(variables):
    """The addresses that may be approved for a host: a list, or "any"."""
    given = _get(variables, "enroll_expected_addresses")
    if given:
        return given
    address = str(_get(variables, "ansible_host") or "")
    return [address] if _is_address(address) else []


def approval_hosts(hosts, hostvars):
    """One entry for each host that is to be decided on; one of which no name is known is left out."""
    entries = []
    for host in hosts:
        variables = hostvars[host]
        noted = _get(variables, "_enroll_expected") or {}
        fqdn = noted.get("fqdn") or expected_fqdn(variables)
        if not fqdn:
            continue
        decision = _get(variables, "enroll_decision") or {}
        entry = dict(name=host, fqdn=fqdn, addresses=noted.get("addresses") or expected_addresses(variables), evidence=_get(variables, "enroll_result") or {})
        if decision.get("repairs"):
            entry["repairs"] = decision["repairs"]
        if decision.get("decision") == "approved":
            entry["request_id"] = decision["request_id"]
        entries.append(entry)
    return entries


def undecided(hosts, hostvars):
    """The hosts that a round of approval is for: none decided yet, and those that registered again."""
    found = []
    for host in hosts:
        decision = _get(hostvars[host], "enroll_decision")
        if not decision or decision.get("register_again"):
            found.append(host)
    return found


def run_succeeded(variables, closed):
    """Whether a host is enrolled at the end of a run."""
    return _standing(variables, closed)[0] == "enrolled"


def run_lines(hosts, hostvars, closed):
    """One line for each host, those that need somebody first."""
    lines = []
    for host in hosts:
        word, reason = _standing(hostvars[host], closed)
        lines.append((word == "enrolled", "%s: %s%s" % (host, word, "" if word == "enrolled" else " - " + reason)))
    return [line for _good, line in sorted(lines)]


def run_report(hosts, hostvars, closed):
    """What a run did, for a file: decisions, suspects, what blocked, and machine-ids that several hosts have."""
    report, machines = {}, {}
    for host in hosts:
        word, reason = _standing(hostvars[host], closed)
        decision = _get(hostvars[host], "enroll_decision") or {}
        machine = (_get(hostvars[host], "enroll_result") or {}).get("machine_id")
        if isinstance(machine, str) and machine:
            machines.setdefault(machine, []).append(host)
        report[host] = dict(
            outcome=word, reason=reason,
            **{name: decision.get(name) for name in ("decision", "request_id", "matched_by", "compared", "suspects", "suspect_count", "twin", "existing")}
        )
    return dict(
        hosts=report,
        duplicate_machine_ids={machine: names for machine, names in machines.items() if len(names) > 1},
        audit=(closed or {}).get("audit") or [],
    )


def _standing(variables, closed):
    """What became of a host: a word, and a sentence."""
    host = _get(variables, "inventory_hostname")
    result = _get(variables, "enroll_result") or {}
    decision = _get(variables, "enroll_decision") or {}
    compared = ((closed or {}).get("results") or {}).get(host) or {}
    if compared.get("decision") in ("unclaimed", "other_certificate"):
        return compared["decision"], compared["reason"]
    if result.get("state") == "enrolled" and not result.get("failed"):
        return "enrolled", ""
    if decision and decision.get("decision") not in ("approved", "enrolled"):
        return decision["decision"], decision["reason"]
    return "failed" if result.get("failed") or not result else str(result.get("state")), str(result.get("msg") or "no answer")


def _get(variables, name):
    """A variable of a host; one that cannot be templated is as good as none."""
    try:
        return variables.get(name)
    except Exception:  # pylint: disable=broad-except
        return None


def _is_address(text):
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
