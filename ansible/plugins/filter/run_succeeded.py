# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: run_succeeded
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Tell whether a host is enrolled at the end of a run
description:
  - Looks at the host's last result and at what the manager issued.
options:
  _input:
    description: The variables of one host.
    type: dict
    required: true
  closed:
    description: The result of M(linux_patch.api.enrollment_approval) with O(linux_patch.api.enrollment_approval#module:state=closed).
    type: dict
    required: true
positional: closed
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ hostvars[inventory_hostname] | linux_patch.api.run_succeeded(enroll_closed) }}"
"""

RETURN = r"""
_value:
  description: Whether the host is enrolled.
  type: bool
"""

from ansible_collections.linux_patch.api.plugins.plugin_utils import approval


class FilterModule:
    """The filter."""

    def filters(self):
        return {"run_succeeded": approval.run_succeeded}
