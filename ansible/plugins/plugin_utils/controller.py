# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs enrollment_admin on the controller: what the administrator's modules do.

The program is a child of this process, on the controller, whatever connection or
become the task has: an administrator's password belongs on no host, and an
ansible_become of the inventory would win over a task's "become: false". It gets
its arguments, the password among them, on its standard input, and of the
environment nothing but the proxy variables.

One login serves a run. It is in a file of the run's own temporary directory,
which goes with the run. What a killed run left there, the next one logs out.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import resource
import subprocess

from ansible import constants as C
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.json import AnsibleJSONEncoder
from ansible.plugins.action import ActionBase
from ansible_collections.linux_patch.api.plugins.plugin_utils import artifacts, documented, hidden
from ansible_collections.linux_patch.api.plugins.plugin_utils.artifacts import MACHINES
from ansible_collections.linux_patch.api.plugins.plugin_utils.errors import ProgramError

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

# Options whose value stays out of everything that is shown. A module's
# documentation has no place for it.
SECRETS = frozenset(("proxy_url", "password", "totp_secret", "totp_code", "access_token"))

# How much longer than its own limit the program may take.
GRACE = 60


class ControllerAction(ActionBase):
    """An action that runs enrollment_admin on the controller."""

    MODULE = ""

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(None, task_vars)
        result.pop("invocation", None)
        try:
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
        options = {name: value for name, value in checked.validated_parameters.items() if value is not None and value != ""}
        self._from_environment(options)
        return options

    def _others(self):
        """Options of the group's other modules: a module_defaults for the group gives them here too."""
        return HOST_OPTIONS

    def _without_secrets(self, text):
        return hidden.without(text, self._task.args, SECRETS)

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
        try:
            done = subprocess.run(
                [_program(), command, "-"],
                input=json.dumps(arguments, cls=AnsibleJSONEncoder, vault_to_text=True).encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in PROXY_VARIABLES if name in os.environ},
                cwd="/",
                timeout=int(arguments.get("timeout") or 1800) + GRACE,
                check=False,
                preexec_fn=_no_core,
            )
        except (OSError, subprocess.TimeoutExpired) as e:
            raise ProgramError("ENROLL_INTERNAL", "%s could not be run: %s" % (PROGRAM, type(e).__name__), "report it") from None
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ProgramError("ENROLL_INTERNAL", "%s gave no result (rc=%d)" % (PROGRAM, done.returncode), "report it", rc=done.returncode)
        return answer

    def _with_session(self, options):
        """The arguments with the places of this run's login."""
        local = C.DEFAULT_LOCAL_TMP
        self._end_killed_runs(options)
        name = hashlib.sha256(("%s\n%s" % (options.get("manager_url"), options.get("username"))).encode()).hexdigest()[:16]
        if "access_token" in options:
            return dict(options, lock_dir=os.path.dirname(local))
        return dict(options, session_path=os.path.join(local, SESSION + name), lock_dir=os.path.dirname(local))

    def _end_killed_runs(self, options):
        """Logs out what killed runs left, and removes it."""
        if not options.get("manager_url"):
            return
        for path in glob.glob(os.path.join(os.path.dirname(C.DEFAULT_LOCAL_TMP), "ansible-local-*", SESSION + "*")):
            directory = os.path.dirname(path)
            if directory == C.DEFAULT_LOCAL_TMP or _runs(os.path.basename(directory)):
                continue
            connection = {name: options[name] for name in options if name.startswith(("manager_", "proxy_"))}
            try:
                self._call("logout", dict(connection, session_path=path, timeout=30))
            finally:
                if os.path.exists(path):
                    os.unlink(path)


def specification(module):
    """The options that a module documents, as Ansible's own check of arguments takes them."""
    parts = ("type", "default", "choices", "required", "elements")
    return {
        name: dict({part: option[part] for part in parts if part in option}, no_log=name in SECRETS)
        for name, option in documented.options(module).items()
    }


SESSION = "linux_patch_session-"

# What the modules for hosts take.
HOST_OPTIONS = frozenset().union(*documented.OPTIONS.values())


def _runs(directory):
    """Whether the run that made this temporary directory still runs: its process is in the name."""
    pid = directory[len("ansible-local-"):-8]
    try:
        with open("/proc/%d/cmdline" % int(pid), "rb") as f:
            return b"ansible" in f.read()
    except (OSError, ValueError):
        return False


def _no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _program():
    """The program for this controller, as a file that can be executed."""
    system, machine = platform.system(), platform.machine()
    arch = MACHINES.get(machine)
    if system != "Linux" or arch is None:
        raise ProgramError(
            "ENROLL_UNSUPPORTED",
            "this controller is %s on %s, and approvals are made from Linux on x86_64 or aarch64" % (system, machine),
            "run the playbook from a Linux controller or an execution environment",
        )
    return artifacts.unpacked(artifacts.shipped(PROGRAM)[arch])
