# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: smallest_wave
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Say how many hosts a play takes at once
description:
  - "Takes the smallest of the hosts' waves: C(enroll_wave), else 200, or 40 where C(enroll_shared_address) is set."
  - Hosts whose variables cannot be used do not count.
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
- name: Approve by proof, and fetch
  hosts: all
  serial: "{{ ansible_play_batch | linux_patch.api.smallest_wave(hostvars) }}"
"""

RETURN = r"""
_value:
  description: The number of hosts.
  type: int
"""

from ansible_collections.linux_patch.api.plugins.plugin_utils import wave


class FilterModule:
    """The filter."""

    def filters(self):
        return {"smallest_wave": wave.smallest_wave}
