# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: run_lines
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Say in one line what became of each host
description:
  - Hosts that need attention come first. All texts are fit to be shown.
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
  closed:
    description: The result of M(linux_patch.api.enrollment_approval) with O(linux_patch.api.enrollment_approval#module:state=closed).
    type: dict
    required: true
positional: hostvars, closed
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ ansible_play_hosts_all | linux_patch.api.run_lines(hostvars, enroll_closed) }}"
"""

RETURN = r"""
_value:
  description: One line for each host.
  type: list
  elements: str
"""

from ansible_collections.linux_patch.api.plugins.plugin_utils import approval, text


class FilterModule:
    """The filter."""

    def filters(self):
        return {"run_lines": text.untemplated(approval.run_lines)}
