# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_enrolled
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Tell whether all hosts that took part in a run of the fleet's playbook are enrolled
description:
  - Looks at the hosts' last results. Hosts without one do not count.
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
- ansible.builtin.debug:
    msg: "{{ ansible_play_batch | linux_patch.api.fleet_enrolled(hostvars) }}"
"""

RETURN = r"""
_value:
  description: Whether there is a result, and each says that its host is enrolled.
  type: bool
"""

from ansible_collections.linux_patch.api.plugins.plugin_utils import approval


class FilterModule:
    """The filter."""

    def filters(self):
        return {"fleet_enrolled": approval.fleet_enrolled}
