# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text of hosts and managers for playbooks, and the rows of their tables."""

from __future__ import annotations

from ansible_collections.linux_patch.api.plugins.plugin_utils import fleet, text


class FilterModule:
    """The collection's filters."""

    def filters(self):
        return {"plain": text.plain, "report_rows": fleet.report_rows, "waiting": fleet.waiting}
