# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs enrollment_admin on the controller: what the administrator's modules do.

The program is a child of this process, on the controller, whatever connection or
become the task has: an administrator's password belongs on no host, and an
ansible_become of the inventory would win over a task's "become: false". It gets
its arguments, the password among them, on its standard input, and of the
environment nothing but the proxy variables.

Where the controller is no Linux, a task that is delegated to a Linux host runs it
there, in the same way as the modules for hosts: from the cache, with the arguments
on its standard input, never in a file.

One login serves a run. It is in a file of the run's own temporary directory,
which goes with the run. However the run ends, what it left there is logged out at
its end; what a killed run left, the next one logs out.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import platform
import subprocess

from ansible import constants as C
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.json import AnsibleJSONEncoder
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.linux_patch.api.plugins.plugin_utils import administrator, approval, artifacts, cached, documented, hidden, session
from ansible_collections.linux_patch.api.plugins.plugin_utils.artifacts import MACHINES
from ansible_collections.linux_patch.api.plugins.plugin_utils.errors import ProgramError
from ansible_collections.linux_patch.api.plugins.plugin_utils.text import plain

PROGRAM = "enrollment_admin"

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")

# Options that the modules share, with the variables of the environment that
# stand in for them.
ENVIRONMENT = {
    "manager_url": "LINUX_PATCH_MANAGER_URL",
    "username": "LINUX_PATCH_MANAGER_USERNAME",
    "password": "LINUX_PATCH_MANAGER_PASSWORD",
    "totp_secret": "LINUX_PATCH_MANAGER_TOTP_SECRET",
    "access_token": "LINUX_PATCH_MANAGER_TOKEN",
}

# How much longer than its own limit the program may take.
GRACE = 60


class ControllerAction(ActionBase):
    """An action that runs enrollment_admin on the controller."""

    MODULE = ""
    PROGRAM = PROGRAM

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(None, task_vars)
        result.pop("invocation", None)
        try:
            # A host's facts must not say where the administrator's password goes.
            approval.refuse_facts(task_vars or {})
            result.update(self._answer(self._options(), task_vars or {}))
        except ProgramError as e:
            result.update(e.result)
        return result

    def _answer(self, options, task_vars):
        raise NotImplementedError

    def _options(self):
        """The task's options, checked, and with what the environment gives."""
        spec = specification(self.MODULE)
        given = {name: value for name, value in self._task.args.items() if name in spec or name not in self._others()}
        checked = ArgumentSpecValidator(spec).validate(json.loads(json.dumps(given, cls=AnsibleJSONEncoder, vault_to_text=True)))
        if checked.error_messages:
            raise ProgramError(
                "ENROLL_INVALID_ARGUMENT",
                self._without_secrets("; ".join(checked.error_messages)),
                "correct the option that the message names",
            )
        # An empty option that names trust is refused by the program: it never means none.
        options = {
            name: value for name, value in checked.validated_parameters.items()
            if value is not None and (value != "" or name.startswith("manager_ca_"))
        }  # fmt: skip
        for name, kind in spec.items():
            # The program has another working directory.
            if kind["type"] == "path" and options.get(name) and session.runs_here():
                options[name] = os.path.abspath(options[name])
        self._from_environment(options)
        return options

    def _others(self):
        """Options of the group's other modules: a module_defaults for the group gives them here too."""
        return HOST_OPTIONS

    def _without_secrets(self, text):
        return hidden.without(text, self._task.args, administrator.SECRETS)

    def _from_environment(self, options):
        account = {"username", "password", "totp_secret", "totp_code"}.intersection(options)
        for option, name in ENVIRONMENT.items():
            if option in options or not os.environ.get(name):
                continue
            if option == "access_token" and account:
                continue
            if option in ("username", "password", "totp_secret") and "access_token" in options:
                continue
            if option == "totp_secret" and "totp_code" in options:
                continue
            options[option] = os.environ[name]
        if "access_token" in options and not account:
            for option in ("username", "password", "totp_secret"):
                options.pop(option, None)

    def _call(self, command, arguments, check=False):
        """Runs the program and returns its one JSON object."""
        # evidence.mark has written who the hosts are and how they are connected.
        arguments = dict(arguments, _ansible_check_mode=check, _ansible_evidence_marked=True)
        text = json.dumps(arguments, cls=AnsibleJSONEncoder, vault_to_text=True)
        if not session.runs_here():
            return self._call_there(command, text)
        return _run(command, text, int(arguments.get("timeout") or 1800) + GRACE)

    def _call_there(self, command, text):
        """Runs the program on the Linux host that the task is delegated to."""
        if not self._task.delegate_to or command == "reissue":
            raise _no_linux("state=reissued" if command == "reissue" else "")
        done = cached.run(self, artifacts.shipped(PROGRAM), "sh -c 'exec \"$1\" %s -' sh" % command, text)
        if done is None:
            raise ProgramError(
                "ENROLL_UNSUPPORTED",
                "%s could not be run on the delegate host %s, and a password is never put into a file there" % (PROGRAM, plain(self._task.delegate_to, 80)),
                "look at -vvv for the reason; the delegate is to be a Linux host with gzip and sha256sum, over a connection with pipelining",
            )
        return _answer_in(done["stdout"], done["rc"])

    def _with_session(self, options):
        """The arguments with the places of this run's login."""
        local = C.DEFAULT_LOCAL_TMP
        name = hashlib.sha256(("%s\n%s" % (options.get("manager_url"), options.get("username"))).encode()).hexdigest()[:16]
        if not session.runs_here():
            return self._with_session_there(options, name)
        for path in session.of_killed_runs():
            _end(path)
        if "access_token" in options:
            return dict(options, lock_dir=os.path.dirname(local))
        return dict(options, session_path=os.path.join(local, session.NAME + name), lock_dir=os.path.dirname(local))

    def _with_session_there(self, options, name):
        """The same on a delegate host, where what a killed run left is gone on with and ended."""
        if "access_token" in options or not self._task.delegate_to:
            return options
        home = self._low_level_execute_command('echo "$HOME"')["stdout"].strip().split("\n")[-1]
        return dict(options, session_path=self._connection._shell.join_path(home, ".%s%s" % (session.NAME, name)))

    def _logged_out(self, arguments):
        """Whether this run has no login at its manager that is to be ended; on a delegate host that is unknown."""
        return session.runs_here() and bool(arguments.get("manager_url")) and not os.path.exists(arguments.get("session_path", ""))


def _run(command, text, timeout):
    """Runs the program here and returns its one JSON object."""
    try:
        done = subprocess.run(
            # Not by preexec_fn, which Python refuses at the end of a run.
            ["/bin/sh", "-c", 'ulimit -c 0; exec "$0" "$@"', _program(), command, "-"],
            input=text.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in PROXY_VARIABLES if name in os.environ},
            cwd="/",
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise ProgramError("ENROLL_INTERNAL", "%s could not be run: %s" % (PROGRAM, type(e).__name__), "report it") from None
    return _answer_in(done.stdout, done.returncode)


def _end(path):
    """Logs out what a session's file holds, over the way to the manager that it names, and removes it."""
    try:
        known = session.connection(path)
        answer = _run("logout", json.dumps(dict(known, session_path=path, timeout=30)), 30 + GRACE) if known else {}
    except ProgramError as e:
        answer = e.result
    for said in answer.get("warnings") or ([answer.get("msg")] if answer.get("failed") else []):
        Display().warning(plain(said))
    try:
        os.unlink(path)
    except OSError:
        pass  # the program has removed it, or it is of someone else


def _end_run(process):
    """Logs out what this run has left: its hosts may all have failed, or it was interrupted."""
    if os.getpid() == process:
        for path in session.of_this_run():
            _end(path)


# Ansible imports this once, in the process that all tasks are forked from.
atexit.register(_end_run, os.getpid())


def specification(module):
    """The options that a module documents, as Ansible's own check of arguments takes them."""
    return _specified(documented.options(module))


def _specified(options):
    parts = ("type", "default", "choices", "required", "elements")
    made = {}
    for name, option in options.items():
        made[name] = dict({part: option[part] for part in parts if part in option}, no_log=name in administrator.SECRETS)
        if "suboptions" in option:
            made[name]["options"] = _specified(option["suboptions"])
    return made


# What the modules for hosts take.
HOST_OPTIONS = frozenset().union(*documented.OPTIONS.values())


def _program():
    """The program for this controller, as a file that can be executed."""
    return artifacts.unpacked(artifacts.shipped(PROGRAM)[MACHINES[platform.machine()]])


def _no_linux(what):
    return ProgramError(
        "ENROLL_UNSUPPORTED",
        "this controller is %s on %s, and %s from Linux on x86_64 or aarch64"
        % (platform.system(), platform.machine(), "%s works only" % what if what else "approvals are made"),
        "run the playbook from a Linux controller or an execution environment"
        + ("" if what else ", or delegate this task to a Linux host that you trust with the manager's account (delegate_to)"),
    )


def _answer_in(output, rc):
    """The one JSON object that the program printed."""
    try:
        answer = json.loads(output)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ProgramError("ENROLL_INTERNAL", "%s gave no result (rc=%d)" % (PROGRAM, rc), "report it", rc=rc)
    return answer
