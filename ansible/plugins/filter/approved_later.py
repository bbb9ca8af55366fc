# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: approved_later
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Tell whether a play with serial has hosts left to decide on
description:
  - Looks for hosts that are not in the batch and were not decided on before it. One login serves all batches.
options:
  _input:
    description: The names of the play's hosts.
    type: list
    elements: str
    required: true
  batch:
    description: The names of those in the batch.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variable C(hostvars).
    type: dict
    required: true
positional: batch, hostvars
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: the login is kept
  when: ansible_play_hosts | linux_patch.api.approved_later(ansible_play_batch, hostvars)
"""

RETURN = r"""
_value:
  description: Whether there are such hosts.
  type: bool
"""

from ansible_collections.linux_patch.api.plugins.plugin_utils import approval


class FilterModule:
    """The filter."""

    def filters(self):
        return {"approved_later": approval.approved_later}
