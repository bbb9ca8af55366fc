# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

from ansible.module_utils.common.json import AnsibleJSONEncoder
from ansible_collections.linux_patch.api.plugins.plugin_utils import cached, evidence
from ansible_collections.linux_patch.api.plugins.plugin_utils.controller import ControllerAction
from ansible_collections.linux_patch.api.plugins.plugin_utils.errors import ProgramError
from ansible_collections.linux_patch.api.plugins.plugin_utils.program import ProgramAction

REISSUED = "reissued"
CLOSED = "closed"

# What the program answers where no host is given and no login is to be ended. It
# is not started for that, which took as long as a converged host.
NOTHING_TO_CLOSE = dict(changed=False, failed=False, msg="no hosts", requests={}, audit=[], warnings=[])


class _Enrollment(ProgramAction):
    """The module enrollment, as this action runs it on the host."""

    MODULE = "enrollment"


class ActionModule(ControllerAction):
    MODULE = "enrollment_approval"

    def _answer(self, options, task_vars):
        host_options = options.pop("enrollment", None)
        if options["state"] == REISSUED:
            return self._reissue(options, host_options or {}, task_vars)
        options["hosts"] = list(evidence.of_jobs(options["hosts"]))
        arguments = self._with_session(options)
        if options["state"] == CLOSED and not options["hosts"] and self._logged_out(arguments):
            return dict(NOTHING_TO_CLOSE)
        answer = self._call("approve", arguments, check=self._task.check_mode)
        if not self._task.diff:
            answer.pop("diff", None)
        return answer

    def _reissue(self, options, host_options, task_vars):
        """Re-issues the set of the one host that this task runs for, and puts it in place there.

        The set goes from the manager's answer to the standard input of the
        host's program. It is in no file, no variable and no result here.
        """
        entry = self._entry(options, task_vars)
        host = _Enrollment(self._task, self._connection, self._play_context, self._loader, self._templar, self._shared_loader_obj)
        # Re-issuing revokes what the host has: what can fail there fails before.
        rehearsed = self._on_host(host, dict(host_options, force=True), task_vars, check=True)
        if evidence.reconnected(self, task_vars):
            rehearsed = self._on_host(host, dict(host_options, force=True), task_vars, check=True)
        if rehearsed.get("failed"):
            return rehearsed
        entry["evidence"] = dict(machine_id=rehearsed.get("machine_id", ""), request=dict(
            inventory_hostname=entry["name"], connection=evidence.VERIFIED
        ))  # fmt: skip
        arguments = {name: value for name, value in options.items() if name not in ("state", "groups", "on_blocked", "on_existing")}
        answer = self._call("reissue", self._with_session(dict(arguments, hosts=[entry])), check=self._task.check_mode)
        bundle = answer.pop("bundle", None)
        if answer.get("failed") or bundle is None:
            return answer
        result = self._on_host(host, dict(host_options, _ansible_linux_patch_bundle=bundle), task_vars)
        bundle.clear()
        if result.get("failed"):
            result["msg"] = "%s; the old certificates are revoked: run again at once, re-issuing can be repeated" % result.get("msg", "")
        result.update(audit=answer.get("audit", []), requests=answer.get("requests", {}))
        return result

    def _entry(self, options, task_vars):
        """The host of this task, where no one can stand between."""
        if len(options["hosts"]) != 1 or options["hosts"][0].get("name") != task_vars.get("inventory_hostname"):
            raise ProgramError(
                "ENROLL_INVALID_ARGUMENT",
                "state=reissued takes the host that the task runs for, and no other",
                "leave run_once out, and give one entry in hosts whose name is inventory_hostname",
            )
        standing = evidence.standing(self, task_vars)
        if standing != evidence.VERIFIED:
            raise ProgramError(
                "ENROLL_INVALID_ARGUMENT",
                "a private key is handed over a verified connection only: %s" % standing,
                "use ssh with host key checking; nothing overrides this",
            )
        obstacle = cached._obstacle(self) or "ssh makes a terminal there (RequestTTY force)" * evidence.terminal(self)
        if obstacle:
            raise ProgramError(
                "ENROLL_UNSUPPORTED",
                "the key cannot reach the host on standard input, and is never put into a file: %s" % obstacle,
                "log in as the user who enrolls, use sudo without requiretty, or leave -tt and RequestTTY out",
            )
        return dict(options["hosts"][0])

    def _on_host(self, host, options, task_vars, check=False):
        arguments = dict(options)
        host._update_module_args("linux_patch.api.enrollment", arguments, task_vars)
        arguments["_ansible_check_mode"] = check or self._task.check_mode
        text = json.dumps(arguments, cls=AnsibleJSONEncoder, vault_to_text=True)
        answer = cached.run(host, host._programs(), host._compute_environment_string(), text)
        if answer is None:
            raise ProgramError(
                "ENROLL_UNSUPPORTED",
                "the host's program could not be run from its cache, and a key is never put into a file",
                "look at -vvv for the reason, such as a file system that is mounted noexec",
            )
        return host._parse(answer)
