# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.linux_patch.api.plugins.plugin_utils.controller import ControllerAction


class ActionModule(ControllerAction):
    OPTIONS = dict(
        state=dict(type="str", default="approved", choices=["approved", "denied", "withdrawn", "closed"]),
        hosts=dict(type="list", elements="dict", required=True),
        on_blocked=dict(type="str", default="report", choices=["report", "deny"]),
        on_existing=dict(type="str", default="report", choices=["report", "reissue", "replace"]),
        groups=dict(type="list", elements="str"),
        allow_unverified_connection=dict(type="bool", default=False),
        allow_unverified_registration=dict(type="bool", default=False),
        keep_session=dict(type="bool", default=False),
    )

    def _answer(self, options, task_vars):
        answer = self._call("approve", self._with_session(options), check=self._task.check_mode)
        if not self._task.diff:
            answer.pop("diff", None)
        return answer
