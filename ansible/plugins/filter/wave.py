# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: wave
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Say how many hosts are approved at once
description:
  - Takes C(enroll_wave), else 200, or 40 where C(enroll_shared_address) is set.
options:
  _input:
    description: The variables of one host.
    type: dict
    required: true
  forks:
    description: The number of forks. With it, the result is 0 where so many hosts cannot fetch in time.
    type: int
  broken:
    description: What is returned where a variable cannot be used. Without it, that is an error.
    type: int
positional: forks, broken
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ hostvars[inventory_hostname] | linux_patch.api.wave(ansible_forks) }}"
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
        return {"wave": wave.wave}
