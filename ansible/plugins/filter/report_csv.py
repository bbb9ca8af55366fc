# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: report_csv
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Make CSV of the rows of the enrollment report
description:
  - A text that a spreadsheet would take for a formula gets a quote in front.
options:
  _input:
    description: The rows, as P(linux_patch.api.report_rows#filter) makes them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ ansible_play_hosts_all | linux_patch.api.report_rows(hostvars) | linux_patch.api.report_csv }}"
"""

RETURN = r"""
_value:
  description: The table, with a line of names first.
  type: str
"""

from ansible_collections.linux_patch.api.plugins.plugin_utils import report


class FilterModule:
    """The filter."""

    def filters(self):
        return {"report_csv": report.table}
