# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: undecided
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Choose the hosts that a round of approval is for
description:
  - Chooses hosts without a decision, and those that registered again after a repair.
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
    msg: "{{ ansible_play_hosts | linux_patch.api.undecided(hostvars) }}"
"""

RETURN = r"""
_value:
  description: The names of the chosen hosts.
  type: list
  elements: str
"""

from ansible_collections.linux_patch.api.plugins.plugin_utils import approval


class FilterModule:
    """The filter."""

    def filters(self):
        return {"undecided": approval.undecided}
