# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: approval_hosts
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Make the hosts of an approval
description:
  - Makes an entry for each host, with its expected name and addresses and its enrollment result as evidence.
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
  known:
    description: Hosts that are only known, with V(decide=false), where they are not among O(_input).
    type: list
    elements: str
    default: []
positional: hostvars, known
"""

EXAMPLES = r"""
- linux_patch.api.enrollment_approval:
    hosts: "{{ ansible_play_batch | linux_patch.api.approval_hosts(hostvars, ansible_play_hosts_all) }}"
"""

RETURN = r"""
_value:
  description: Entries for O(linux_patch.api.enrollment_approval#module:hosts).
  type: list
  elements: dict
"""

from ansible_collections.linux_patch.api.plugins.plugin_utils import approval


class FilterModule:
    """The filter."""

    def filters(self):
        return {"approval_hosts": approval.approval_hosts}
