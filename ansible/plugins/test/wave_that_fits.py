# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: wave_that_fits
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Tell whether a wave of approvals can be fetched in time
description:
  - A manager keeps an approved bundle for 600 seconds, and takes a limited number of requests a second.
options:
  _input:
    description: The number of hosts in a wave.
    type: int
    required: true
  forks:
    description: The number of forks.
    type: int
    required: true
  shared:
    description: Whether the hosts reach the manager from one address.
    type: bool
    required: true
positional: forks, shared
"""

EXAMPLES = r"""
- ansible.builtin.assert:
    that: 200 is linux_patch.api.wave_that_fits(20, false)
"""

RETURN = r"""
_value:
  description: Whether all of them can be approved and have fetched.
  type: bool
"""

from ansible_collections.linux_patch.api.plugins.plugin_utils import wave


class TestModule:
    """The test."""

    def tests(self):
        return {"wave_that_fits": wave.wave_that_fits}
