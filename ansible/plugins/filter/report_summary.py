# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: report_summary
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Sum up the rows of the enrollment report
description:
  - Counts the hosts, and finds machine-ids that occur twice and the issuers.
options:
  _input:
    description: The rows, as P(linux_patch.api.report_rows#filter) makes them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ ansible_play_hosts_all | linux_patch.api.report_rows(hostvars) | linux_patch.api.report_summary }}"
"""

RETURN = r"""
_value:
  description: C(total), C(good), C(waiting), C(due), C(bad), C(duplicates) and C(issuers).
  type: dict
"""

from ansible_collections.linux_patch.api.plugins.plugin_utils import report, text


class FilterModule:
    """The filter."""

    def filters(self):
        return {"report_summary": text.untemplated(report.summary)}
