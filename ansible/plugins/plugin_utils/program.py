# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the collection's program on a host: what both action plugins do.

The modules of this collection are one static binary that checks its own
arguments and answers with one JSON object. A file in plugins/modules cannot
hold it, because one name serves every architecture and has documentation too.
So the program runs from a cache on the host (see cached.py). Where that is no
way, it is transferred here, with Ansible's own parts for temporary directories,
become and clean-up. Either way the result is the same, and the host needs no
Python.

Arguments go to the program's standard input, or with the transfer into a file
that only the user who runs the program can read. They appear in no command line
and in no output at any verbosity.
"""

from __future__ import annotations

import json
import os
import re
import shlex

from ansible.module_utils.common.json import AnsibleJSONEncoder
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.linux_patch.api.plugins.plugin_utils import administrator, artifacts, cached, detached, evidence, fleet, hidden, variables, wave
from ansible_collections.linux_patch.api.plugins.plugin_utils.artifacts import COLLECTION, MACHINES
from ansible_collections.linux_patch.api.plugins.plugin_utils.documented import OPTIONS
from ansible_collections.linux_patch.api.plugins.plugin_utils.errors import ProgramError
from ansible_collections.linux_patch.api.plugins.plugin_utils.result import clean
from ansible_collections.linux_patch.api.plugins.plugin_utils.text import host_name, machine_id, plain

display = Display()

PROGRAM = cached.PROGRAM

# Options of the group's other modules, and how the manager is reached: a
# module_defaults for the group gives them to these modules too. Each takes what it
# documents, and no host gets the others.
GROUP_OPTIONS = administrator.SHARED | {"insecure"}

# How many lines of a host's output are looked at for the result, from the last
# one on. What a login script says stands before it.
CANDIDATES = 100


def _later(reason):
    """What the role's first task returns where another one does its work."""
    return {"changed": False, "skipped": True, "skip_reason": reason, "role_continues": True}


class ProgramAction(ActionBase):
    """An action that runs the program as the module MODULE."""

    MODULE = ""
    PROGRAM = PROGRAM

    _supports_check_mode = True
    # The temporary directory is made when it is needed, not for every task.
    TRANSFERS_FILES = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # ansible-core 2.14 sets it on each object.
        self._supports_async = True
        self._given = {}
        self._first = self._looks = self._verifies = False

    def run(self, tmp=None, task_vars=None):
        result = {}
        try:
            result = super().run(None, task_vars)
            variables.check(self, task_vars or {})
            wave.check(self, task_vars or {})
            self._first = variables.first(task_vars or {})
            if self._first and variables.prepares(self, task_vars or {}):
                return dict(result, **_later("the role prepares the host first"))
            self._looks = self._first and variables.looks(self, task_vars or {})
            self._given = variables.fill(self, self.MODULE, task_vars or {})
            arguments = self._arguments(task_vars or {})
            if self._task.async_val:
                result.update(detached.run(self, arguments, task_vars or {}))
                return result
            environment = self._compute_environment_string()
            answer = self._asked(arguments, environment)
            if self._looks and (answer.get("state") != "enrolled" or answer["role_continues"]):
                return dict(result, **_later("enroll_throttle limits how many hosts ask the manager at once"))
            result.update(answer)
            if evidence.counts(result) and evidence.reconnected(self, task_vars or {}):
                result.update(self._asked_again(arguments, environment, result))
            evidence.mark(self, result, task_vars or {})
            self._tell(result, task_vars or {})
        except ProgramError as e:
            result.update(e.result)
        if variables.fills(task_vars or {}):
            result.setdefault("role_continues", True)
        return result

    def _asked(self, arguments, environment):
        """The result of the program on the host, from the cache or transferred."""
        answer = cached.run(self, self._programs(), environment, arguments)
        if answer is None:
            answer = self._run_transferred(arguments, environment)
        return self._parse(answer)

    def _asked_again(self, arguments, environment, first):
        """What is evidence in the same answer: who answered first is not known. What was registered is not registered again, and nothing waits."""
        display.vvv("a shared connection was open before this run; asked again over another one", host=self._play_context.remote_addr)
        again = json.loads(arguments)
        if self.MODULE == "enrollment":
            again.pop("bundle_path", None)
            again.update(state="registered", wait=False)
        second = self._asked(json.dumps(again), environment)
        for name in evidence.MEMBERS:
            first.pop(name, None)
        # The state, and whether the task failed, are those of what the task asked for.
        result = {name: second[name] for name in evidence.MEMBERS if name in second}
        result["changed"] = bool(first.get("changed") or second.get("changed"))
        result["actions"] = list(first.get("actions") or []) + list(second.get("actions") or [])
        if second.get("failed"):
            result["warnings"] = list(first.get("warnings") or []) + ["asked again over a connection of this run, for evidence: %s" % second.get("msg", "")]
        return result

    def _arguments(self, task_vars):
        """The program's arguments as JSON text, vault-encrypted values decrypted."""
        others = GROUP_OPTIONS - OPTIONS[self.MODULE]
        arguments = {name: value for name, value in self._given.items() if name not in others}
        self._verifies = self._first and variables.verifies(self, task_vars)
        report = variables.report_options(self, arguments, task_vars) if self._verifies else None
        self._update_module_args("%s.%s" % (COLLECTION, self.MODULE), arguments, task_vars)
        if self._looks:
            arguments["_ansible_check_mode"] = True
        if self._verifies:
            arguments["_ansible_linux_patch_info"] = report
        return json.dumps(arguments, cls=AnsibleJSONEncoder, vault_to_text=True)

    def _run_transferred(self, arguments, environment):
        """Runs the program from a temporary directory."""
        program, arguments_file, directory = self._place(arguments)
        # For a become_user who is neither root nor the login user.
        self._fixup_perms2([directory, program], execute=True)
        self._fixup_perms2([arguments_file], execute=False)
        return self._low_level_execute_command(
            self._connection._shell.build_module_command(
                environment, "", program, arg_path=shlex.quote(arguments_file)
            ).strip()
        )

    def _place(self, arguments):
        """Copies program and arguments into a temporary directory; returns where each is."""
        shell = self._connection._shell
        if shell.tmpdir is None:
            self._make_tmp_path()
        directory = shell.tmpdir
        program = shell.join_path(directory, PROGRAM)
        arguments_file = shell.join_path(directory, "args")

        build = self._local_program(self._prepare(program, arguments_file))
        display.vvv("running %s as %s.%s" % (build.name, COLLECTION, self.MODULE), host=self._play_context.remote_addr)
        self._transfer_file(artifacts.unpacked(build), program)
        self._transfer_data(arguments_file, arguments)
        return program, arguments_file, directory

    def _prepare(self, program, arguments_file):
        """Makes both files, empty and private, and returns the host's system and machine.

        What is copied into an existing file leaves its mode alone, so there is
        no moment in which the arguments can be read by others.
        """
        answer = self._low_level_execute_command(
            "printf 'linux_patch %%s\\n' \"$(uname -s -m)\" && umask 077 && : > %s && chmod 0700 %s && : > %s"
            % (shlex.quote(program), shlex.quote(program), shlex.quote(arguments_file)),
            sudoable=False,
        )
        found = re.search(r"^linux_patch (\S+) (\S+)\s*$", answer["stdout"], re.MULTILINE)
        if not found:
            raise ProgramError(
                "ENROLL_UNSUPPORTED",
                "the host does not say what it is (uname -s -m)",
                "enroll Linux hosts only",
                **self._shown(answer)
            )
        if answer["rc"] != 0:
            raise ProgramError(
                "ENROLL_FILESYSTEM",
                "the program cannot be put into %s" % os.path.dirname(program),
                "fix what module_stderr names, or set remote_tmp to another directory",
                **self._shown(answer)
            )
        return found.groups()

    def _programs(self):
        """The shipped builds of the program by architecture."""
        return artifacts.shipped(PROGRAM)

    def _local_program(self, platform):
        system, machine = platform
        programs = self._programs()
        arch = MACHINES.get(machine)
        if system != "Linux" or arch not in programs:
            shipped = ", ".join("linux-%s" % name for name in sorted(programs))
            raise ProgramError(
                "ENROLL_UNSUPPORTED",
                "the host is %s on %s; this collection ships programs for: %s" % (plain(system, 80), plain(machine, 80), shipped),
                "on other Linux machines build the program from its sources and run it without Ansible",
            )
        return programs[arch]

    def _parse(self, answer):
        """The program's one line of JSON; login scripts and sudo may say something around it."""
        lines = [line for line in answer["stdout"].split("\n") if line.startswith("{")]
        decoder = json.JSONDecoder()
        for line in reversed(lines[-CANDIDATES:]):
            try:
                said = decoder.raw_decode(line)[0]
                result = clean(self.MODULE, said)
            # A host can nest deeper than Python follows.
            except (ValueError, RecursionError):
                continue
            if result is not None:
                return self._with_report(result, said)
        raise self._no_result(answer)

    def _with_report(self, result, said):
        """The result of the role's first task: what came with it as the fact enroll_info, and whether the role has more to do."""
        if not self._first:
            return result
        report = clean("enrollment_info", said["info"]) if isinstance(said.get("info"), dict) else None
        unchanged = not result.get("failed") and not result["changed"]
        if unchanged and variables.healthy(result, report):
            result["ansible_facts"] = {"enroll_info": report}
        result["role_continues"] = not unchanged or self._verifies and "ansible_facts" not in result
        return result

    def _tell(self, result, task_vars):
        """Says what an administrator has to approve: a task of its own for that would cost every host."""
        if result.get("state") == "foreign" and self.MODULE == "enrollment" and not self._task.no_log:
            display.display(
                "%s needs attention: %s" % (plain(task_vars.get("inventory_hostname", "")), plain(result["msg"])), stderr=True
            )
        if self.MODULE != "enrollment" or result.get("state") not in fleet.WAITING or result.get("failed") or self._task.no_log:
            return
        display.display(
            "%s: %s (fqdn %s, machine-id %s)"
            % (plain(task_vars.get("inventory_hostname", "")), plain(result["msg"]), host_name(result.get("fqdn")), machine_id(result.get("machine_id"))),
            stderr=True,
        )

    def _no_result(self, answer):
        message = "the program gave no result (rc=%s)" % answer["rc"]
        hint = "look at module_stdout and module_stderr"
        if answer["rc"] in (126, 127):
            hint += "; a remote_tmp on a file system that is mounted noexec is the usual cause"
        elif answer["rc"] in (137, -9):
            hint = "the program was killed: look for the kernel's out-of-memory messages"
        return ProgramError("ENROLL_INTERNAL", message, hint, **self._shown(answer))

    def _shown(self, answer):
        return dict(
            rc=answer["rc"],
            module_stdout=self._without_secrets(answer["stdout"]),
            module_stderr=self._without_secrets(answer["stderr"]),
        )

    def _without_secrets(self, output):
        return plain(hidden.without(output, self._given, variables.SECRETS)[-4000:], 4000, lines=True)
