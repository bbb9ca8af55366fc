# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.linux_patch.api.plugins.plugin_utils.controller import ControllerAction


class ActionModule(ControllerAction):
    MODULE = "enrollment_requests_info"

    def _answer(self, options, task_vars):
        return self._call("requests", self._with_session(options))
