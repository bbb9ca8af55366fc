# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: plain
author: The linux_patch enroll authors (@linux-patch)
version_added: 0.2.0
short_description: Make text from a host or a manager fit to be shown
description:
  - Returns the value as text in which control characters, format characters such as those that turn the direction of writing,
    and line breaks are replaced.
options:
  _input:
    description: The text.
    type: raw
    required: true
  limit:
    description: How many characters are kept.
    type: int
    default: 300
  lines:
    description: Whether line breaks and tabs are kept.
    type: bool
    default: false
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ enroll_result.msg | linux_patch.api.plain }}"
"""

RETURN = r"""
_value:
  description: The text, on one line unless O(lines) is V(true).
  type: str
"""

from ansible_collections.linux_patch.api.plugins.plugin_utils import text


class FilterModule:
    """The filter."""

    def filters(self):
        return {"plain": text.untemplated(text.plain)}
