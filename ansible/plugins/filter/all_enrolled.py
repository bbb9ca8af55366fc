# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: all_enrolled
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Tell whether all of the hosts are enrolled
description:
  - Looks at each host's last result and, where that is given, at what the manager issued.
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
    default: {}
positional: hostvars, closed
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ ansible_play_hosts | linux_patch.api.all_enrolled(hostvars) }}"
"""

RETURN = r"""
_value:
  description: Whether all of them are enrolled.
  type: bool
"""

from ansible_collections.linux_patch.api.plugins.plugin_utils import approval


class FilterModule:
    """The filter."""

    def filters(self):
        return {"all_enrolled": approval.all_enrolled}
