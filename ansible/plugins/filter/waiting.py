# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: waiting
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: List the hosts whose enrollment request waits for an approval
description:
  - Looks at C(enroll_result) of each host, as the role P(linux_patch.api.enroll#role) leaves it. A host that has none is left out.
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
    msg: "{{ ansible_play_hosts | linux_patch.api.waiting(hostvars) }}"
"""

RETURN = r"""
_value:
  description: One dictionary for each host that waits, with V(host), V(fqdn), V(ip_address), V(system) and V(machine_id), all fit to be shown.
  type: list
  elements: dict
"""

from ansible_collections.linux_patch.api.plugins.plugin_utils import fleet, text


class FilterModule:
    """The filter."""

    def filters(self):
        return {"waiting": text.untemplated(fleet.waiting)}
