# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text of hosts and managers for playbooks, the rows of their tables, and the shipped programs."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.linux_patch.api.plugins.plugin_utils import artifacts, fleet, report, text
from ansible_collections.linux_patch.api.plugins.plugin_utils.errors import ProgramError


def program(machine, name):
    """The path of a shipped program on the controller."""
    try:
        return artifacts.for_machine(name, machine)
    except ProgramError as e:
        raise AnsibleFilterError(str(e)) from e


class FilterModule:
    """The collection's filters."""

    def filters(self):
        return {
            "plain": text.plain,
            "program": program,
            "report_csv": report.table,
            "report_records": report.records,
            "report_rows": fleet.report_rows,
            "report_summary": report.summary,
            "waiting": fleet.waiting,
        }
