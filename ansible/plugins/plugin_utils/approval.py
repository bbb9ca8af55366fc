# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the playbooks hand to the module enrollment_approval."""

from __future__ import annotations

import datetime
import ipaddress
import json

from ansible_collections.linux_patch.api.plugins.plugin_utils import session
from ansible_collections.linux_patch.api.plugins.plugin_utils.errors import ProgramError
from ansible_collections.linux_patch.api.plugins.plugin_utils.text import machine_id, plain


def refuse_facts(variables):
    """Fails where the facts of a host set variables of the role.

    Facts are what a host says, and Ansible puts them before the inventory, which
    alone is to say what may be approved for a host and by whom.
    """
    facts = getattr(variables, "_vars", variables).get("ansible_facts")
    # The role's own action leaves enroll_info there.
    named = sorted(plain(name, 80) for name in facts or () if isinstance(name, str) and name.startswith(("enroll_", "_enroll_")) and name != "enroll_info")
    if named:
        raise ProgramError(
            "ENROLL_INVALID_ARGUMENT",
            "the facts of %s set %s, and what may be approved is for the inventory to say, not for a host"
            % (plain(variables.get("inventory_hostname", ""), 80), ", ".join(named[:5])),
            "find out what set the facts: only a module that ran on the host, or set_fact with cacheable, does",
        )


def expected_fqdn(variables):
    """The only name that may be approved for a host, or "" where the inventory does not say."""
    refuse_facts(variables)
    for name in ("enroll_expected_fqdn", "enroll_fqdn"):
        if _get(variables, name):
            return str(_get(variables, name))
    name = str(_get(variables, "inventory_hostname") or "")
    return name if "." in name and not _is_address(name) else ""


def expected_addresses(variables):
    """The addresses that may be approved for a host: a list, or "any"."""
    refuse_facts(variables)
    given = _get(variables, "enroll_expected_addresses")
    if given:
        return _networks(given)
    address = str(_get(variables, "ansible_host") or "")
    return [address] if _is_network(address) else []


def _networks(given):
    """What the inventory expects, where the program takes it too: it would refuse the whole run for one host's mistake."""
    # A value of its own in a vault is no text before it is asked for one.
    given = [str(one) for one in given] if isinstance(given, (list, tuple)) else str(given)
    for one in given.split(",") if isinstance(given, str) else given:
        if one.strip() not in ("", "any") and not _is_network(one.strip()):
            raise ProgramError(
                "ENROLL_INVALID_ARGUMENT",
                "enroll_expected_addresses: %s is neither an address nor a network, nor any" % plain(one, 60),
                "correct enroll_expected_addresses",
            )
    return given


def _is_network(text):
    address, _slash, bits = text.partition("/")
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return False
    if "%" in address:
        return False
    return text == address or bits.isascii() and bits.isdigit() and str(int(bits)) == bits and int(bits) <= known.max_prefixlen


def approval_hosts(hosts, hostvars, known=()):
    """One entry for each host that is to be decided on; one of which no name is known is left out.

    The hosts in known that are not among them are there so that a twin is
    recognized, whatever wave it is in.
    """
    entries = [dict(entry, decide=False) for entry in _entries([host for host in known if host not in set(hosts)], hostvars)]
    return _entries(hosts, hostvars) + entries


def _entries(hosts, hostvars):
    entries = []
    for host in hosts:
        variables = hostvars[host]
        fqdn, addresses = _expected(variables)
        if not fqdn:
            continue
        decision = _get(variables, "enroll_decision") or {}
        entry = dict(name=host, fqdn=fqdn, addresses=addresses, evidence=_get(variables, "enroll_result") or {})
        if decision.get("repairs"):
            entry["repairs"] = decision["repairs"]
        if decision.get("decision") == "approved":
            entry["request_id"] = decision["request_id"]
        entries.append(entry)
    return entries


def _expected(variables):
    """Name and addresses as they were noted, or as the inventory has them; no name where that fails: such a host has failed by itself."""
    try:
        refuse_facts(variables)
        noted = _get(variables, "_enroll_expected") or {}
        return noted.get("fqdn") or expected_fqdn(variables), noted.get("addresses") or expected_addresses(variables)
    except Exception:  # pylint: disable=broad-except
        return "", []


def undecided(hosts, hostvars):
    """The hosts that a round of approval is for: none decided yet, and those that registered again."""
    found = []
    for host in hosts:
        decision = _get(hostvars[host], "enroll_decision")
        if not decision or decision.get("register_again"):
            found.append(host)
    return found


def approved_later(hosts, batch, hostvars):
    """Whether hosts of a play are left for its later batches, to be decided on."""
    now = set(batch)
    return any(host not in now and "_enroll_expected" not in hostvars[host] for host in hosts)


def run_succeeded(variables, closed):
    """Whether a host is enrolled at the end of a run."""
    return _standing(variables, closed)[0] == "enrolled"


def fleet_enrolled(hosts, hostvars):
    """Whether the hosts that took part in a run are all enrolled: a play does not say which those are before it has begun."""
    results = [result for result in (_get(hostvars.get(host, {}), "enroll_result") for host in hosts) if result]
    return bool(results) and all(result.get("state") == "enrolled" and not result.get("failed") for result in results)


def all_enrolled(hosts, hostvars, closed=None):
    """Whether each of the hosts is enrolled."""
    return all(run_succeeded(hostvars[host], closed) for host in hosts)


def nothing_to_close(hosts, hostvars):
    """Whether no host was decided on, so that there is nothing to compare, and no login is left, of this run or of a killed one.

    What is left on a delegate host is unknown.
    """
    told = ("enroll_decision",) if session.runs_here() else ("enroll_decision", "enroll_admin_delegate")
    return not session.left() and not any(_get(hostvars.get(host, {}), name) for host in hosts for name in told)


def run_lines(hosts, hostvars, closed):
    """One line for each host, those that need someone first."""
    lines = []
    for host in hosts:
        word, reason = _standing(hostvars[host], closed)
        lines.append((word == "enrolled", "%s: %s%s" % (host, word, "" if word == "enrolled" else " - " + reason)))
    lines = [line for _good, line in sorted(lines)]
    others = _unclaimed(hosts, hostvars)
    if others:
        lines.append("%d other request%s at the manager, of no host of this run" % (others, " waits" if others == 1 else "s wait"))
    return lines


def _unclaimed(hosts, hostvars):
    """How many requests belonged to no host, where the manager was asked last; None where it was not."""
    for host in reversed(hosts):
        count = str(_get(hostvars[host], "enroll_unclaimed"))
        # Before ansible-core 2.19 a fact of set_fact is text.
        if count.isdecimal():
            return int(count)
    return None


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
        generated=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        hosts=report,
        duplicate_machine_ids={machine: names for machine, names in machines.items() if len(names) > 1},
        unclaimed_rows=_unclaimed(hosts, hostvars),
        audit=(closed or {}).get("audit") or [],
    )


def run_rows(report):
    """What a run did, as rows that are fit to be shown: a report as run_report makes it, or the text of its file.

    Without a report, or with one that cannot be read, there are no rows.
    """
    if isinstance(report, str):
        try:
            report = json.loads(report)
        except ValueError:
            report = {}
    report = _dict(report)
    hosts = _dict(report.get("hosts"))
    rows = [_run_row(host, _dict(hosts[host])) for host in sorted(hosts, key=lambda host: (_dict(hosts[host]).get("outcome") == "enrolled", host))]
    suspects = [_suspect_row(host, _dict(suspect)) for host in sorted(hosts) for suspect in _dict(hosts[host]).get("suspects") or []]
    machines = _dict(report.get("duplicate_machine_ids"))
    return dict(
        generated=plain(report.get("generated") or "", 40),
        hosts=rows, suspects=suspects, blocked=[row for row in rows if row["decision"] == "blocked"],
        duplicates=[dict(machine_id=machine_id(machine), hosts=[plain(name) for name in machines[machine]]) for machine in sorted(machines)],
    )  # fmt: skip


def _run_row(host, result):
    shown = {name: plain(result.get(name) or "") for name in ("outcome", "decision", "reason", "request_id", "matched_by", "twin")}
    count = result.get("suspect_count")
    return dict(shown, host=plain(host), suspects=count if isinstance(count, int) else 0, kind="good" if shown["outcome"] == "enrolled" else "bad")


def _suspect_row(host, suspect):
    return dict(
        host=plain(host), request_id=plain(suspect.get("request_id") or ""), fqdn=plain(suspect.get("fqdn") or ""),
        machine_id=machine_id(suspect.get("machine_id")), ip_address=plain(suspect.get("ip_address") or ""),
        since=plain(suspect.get("created_at") or "", 40), same=", ".join(plain(same) for same in suspect.get("same") or []),
    )  # fmt: skip


def _dict(value):
    return value if hasattr(value, "get") else {}


def _standing(variables, closed):
    """What became of a host: a word, and a sentence."""
    host = _get(variables, "inventory_hostname")
    result = _get(variables, "enroll_result") or {}
    decision = _get(variables, "enroll_decision") or {}
    compared = ((closed or {}).get("results") or {}).get(host) or {}
    if compared.get("decision") in ("unclaimed", "other_certificate"):
        return compared["decision"], compared["reason"]
    if result.get("state") == "enrolled" and not result.get("failed"):
        if (closed or {}).get("failed") and decision.get("decision") == "approved":
            return "not_compared", "it is enrolled, and its certificate was not compared with the manager's: %s" % plain(closed.get("msg") or "")
        return "enrolled", ""
    if decision and decision.get("decision") not in ("approved", "enrolled"):
        return decision["decision"], decision["reason"]
    if result.get("unreachable"):
        return "unreachable", str(result.get("msg") or "no answer")
    if not result.get("state") and not result.get("msg"):
        return "failed", "no result: see its error above"
    return "failed" if result.get("failed") else str(result.get("state")), str(result.get("msg") or "no answer")


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
