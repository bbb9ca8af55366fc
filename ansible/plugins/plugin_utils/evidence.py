# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Says of a host's result which host it is of, and whether that was verified.

An approval by proof believes what a host says of its request. So the controller,
and not the host, says which host of the inventory it spoke with, and whether
someone in between could have answered in its place.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time

from ansible.utils.path import unfrackpath

VERIFIED = "verified"

# What an approval reads of a host that waits.
MEMBERS = ("request", "manager", "machine_id", "fqdn")

# About when this run began: Ansible imports this once, and forks for each task.
BEGAN = time.time()

# Connections that do not leave this machine.
LOCAL = ("local", "docker", "podman")


def mark(action, result, task_vars):
    """Writes inventory_hostname and connection over whatever the host said."""
    # In check mode a host that would make a request has none, and may say so.
    if action._task.check_mode and result.get("state") in ("registered", "pending"):
        result.setdefault("request", {})
    if not counts(result):
        return
    request = result["request"]
    request["inventory_hostname"] = str(task_vars.get("inventory_hostname", ""))
    request["connection"] = standing(action, task_vars)


def counts(result):
    """Whether a result is evidence of a request."""
    return isinstance(result.get("request"), dict)


def reconnected(action, task_vars):
    """Ends a shared ssh connection that was open before this run, where it would count as verified; tells whether there was one.

    With ControlPersist, ssh goes on with what another run opened, perhaps
    without checking the host key. A path of one's own, in ssh_args or in ssh's
    configuration, is left alone: such a connection may have taken a person.
    """
    connection = action._connection
    path = getattr(connection, "control_path", None)
    if not path:
        return False
    try:
        shared = os.stat(path % {"directory": unfrackpath(connection.control_path_dir)}).st_mtime < BEGAN
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return False
    if not shared or standing(action, task_vars) != VERIFIED:
        return False
    connection.reset()
    return True


def of_jobs(hosts):
    """The entries, in which what a host says of its own connection is not believed.

    The result of an asynchronous task comes by async_status, past mark().
    """
    for entry in hosts:
        result = entry.get("evidence")
        request = result.get("request") if isinstance(result, dict) and "ansible_job_id" in result else None
        if isinstance(request, dict):
            entry = dict(entry, evidence=dict(result, request=dict(request, connection="the result of an asynchronous task")))
        yield entry


def standing(action, task_vars):
    """VERIFIED, or in words why the connection is not."""
    delegate = action._task.delegate_to
    if delegate and delegate != task_vars.get("inventory_hostname"):
        return "delegated to another host"
    connection = action._connection
    name = str(getattr(connection, "transport", "")).rsplit(".", 1)[-1]
    if name in LOCAL:
        return VERIFIED
    if name != "ssh":
        return "the connection plugin %s does not say whether it verifies" % name
    return _ssh(connection)


def _ssh(connection):
    """What ssh itself says that it would do with these arguments."""
    try:
        settings = _settings(_command(connection))
    except (OSError, ValueError, KeyError, subprocess.SubprocessError):
        return "ssh does not say how it verifies host keys"
    checking = settings.get("stricthostkeychecking", [])
    if checking not in (["yes"], ["true"], ["ask"]):
        return "ssh does not check host keys (StrictHostKeyChecking %s)" % " ".join(checking)
    if "/dev/null" in settings.get("userknownhostsfile", []):
        return "ssh remembers no host keys (UserKnownHostsFile /dev/null)"
    if settings.get("nohostauthenticationforlocalhost") == ["yes"]:
        return "ssh does not check localhost (NoHostAuthenticationForLocalhost)"
    return VERIFIED


def _command(connection):
    """ssh with the arguments that the connection gives it, in its order: the first value of a setting counts."""
    option = connection.get_option
    command = [option("ssh_executable") or "ssh", "-G"]
    command += shlex.split(option("ssh_args") or "")
    if not option("host_key_checking"):
        command += ["-o", "StrictHostKeyChecking=no"]
    if option("port"):
        command += ["-o", "Port=%s" % option("port")]
    if option("remote_user"):
        command += ["-o", "User=%s" % option("remote_user")]
    for name in ("ssh_common_args", "ssh_extra_args"):
        command += shlex.split(option(name) or "")
    return command + ["--", option("host") or connection.host]


def _settings(command):
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=True, text=True)
    pairs = (line.split(" ", 1) for line in answer.stdout.lower().splitlines() if " " in line)
    return {name: value.split() for name, value in pairs}
