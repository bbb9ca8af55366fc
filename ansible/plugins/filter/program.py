# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: program
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Unpack a program that the collection ships
description:
  - Returns the path of the program on the controller. It is unpacked there once in each run of Ansible, into its temporary
    directory, which goes with the run.
options:
  _input:
    description: What C(uname -m) says on the host.
    type: str
    required: true
  name:
    description: The name of the program.
    type: str
    required: true
    choices: [enrollment, linux_patch_api, enrollment_admin]
"""

EXAMPLES = r"""
- ansible.builtin.copy:
    src: "{{ 'x86_64' | linux_patch.api.program('linux_patch_api') }}"
    dest: /usr/local/sbin/linux_patch_api
    mode: "0755"
"""

RETURN = r"""
_value:
  description: The path.
  type: path
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.linux_patch.api.plugins.plugin_utils import artifacts
from ansible_collections.linux_patch.api.plugins.plugin_utils.errors import ProgramError


def program(machine, name):
    """The path of a shipped program on the controller."""
    try:
        return artifacts.for_machine(name, machine)
    except ProgramError as e:
        raise AnsibleFilterError(str(e)) from e


class FilterModule:
    """The filter."""

    def filters(self):
        return {"program": program}
