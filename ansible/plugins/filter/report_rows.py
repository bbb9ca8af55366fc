# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: report_rows
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Make the rows of the enrollment report
description:
  - Looks at C(enroll_report) of each host, as the playbook C(linux_patch.api.report) registers it from
    M(linux_patch.api.enrollment_info).
options:
  _input:
    description: The hosts' names.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variable C(hostvars).
    type: dict
    required: true
positional: hostvars
"""

EXAMPLES = r"""
- ansible.builtin.set_fact:
    rows: "{{ ansible_play_hosts_all | linux_patch.api.report_rows(hostvars) }}"
"""

RETURN = r"""
_value:
  description: One dictionary for each host, the soonest expiry first and hosts without a certificate last. All texts are fit to be shown.
  type: list
  elements: dict
"""

from ansible_collections.linux_patch.api.plugins.plugin_utils import fleet, text


class FilterModule:
    """The filter."""

    def filters(self):
        return {"report_rows": text.untemplated(fleet.report_rows)}
