# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: run_rows
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Make the rows of what a run of the fleet's playbook did
description:
  - Takes what P(linux_patch.api.run_report#filter) makes, or the text of the file that it was written to, and makes rows that are fit to be
    shown.
options:
  _input:
    description: The report, or the text of C(enrollment_run.json). Text that is no report gives no rows.
    type: raw
    required: true
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ lookup('ansible.builtin.file', 'enrollment_run.json') | linux_patch.api.run_rows }}"
"""

RETURN = r"""
_value:
  description: The lists C(hosts), C(suspects), C(blocked) and C(duplicates), and C(generated).
  type: dict
"""

from ansible_collections.linux_patch.api.plugins.plugin_utils import approval, text


class FilterModule:
    """The filter."""

    def filters(self):
        return {"run_rows": text.untemplated(approval.run_rows)}
