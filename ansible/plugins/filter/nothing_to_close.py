# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: nothing_to_close
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Tell whether a run of the fleet's playbook has nothing to compare and no login to end
description:
  - Looks for decisions on the hosts, and on the controller for logins of this run and of runs that were killed.
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
    msg: "{{ ansible_play_hosts | linux_patch.api.nothing_to_close(hostvars) }}"
"""

RETURN = r"""
_value:
  description: Whether nothing is to be closed.
  type: bool
"""

from ansible_collections.linux_patch.api.plugins.plugin_utils import approval


class FilterModule:
    """The filter."""

    def filters(self):
        return {"nothing_to_close": approval.nothing_to_close}
