# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: expected_fqdn
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Name the one name that may be approved for a host
description:
  - Takes C(enroll_expected_fqdn), else C(enroll_fqdn), else the inventory's name where it has a dot.
options:
  _input:
    description: The variables of one host.
    type: dict
    required: true
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ hostvars[inventory_hostname] | linux_patch.api.expected_fqdn }}"
"""

RETURN = r"""
_value:
  description: The name; empty where the inventory does not say.
  type: str
"""

from ansible_collections.linux_patch.api.plugins.plugin_utils import approval


class FilterModule:
    """The filter."""

    def filters(self):
        return {"expected_fqdn": approval.expected_fqdn}
