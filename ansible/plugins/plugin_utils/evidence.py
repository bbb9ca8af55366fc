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
import stat
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
        shared = "controlpath" in settings and not _private(settings["controlpath"])
    except (OSError, ValueError, KeyError, subprocess.SubprocessError):
        return "ssh does not say how it verifies host keys"
    checking = settings.get("stricthostkeychecking", "").lower()
    if checking not in ("yes", "true", "ask"):
        return "ssh does not check host keys (StrictHostKeyChecking %s)" % checking
    if "/dev/null" in settings.get("userknownhostsfile", "").split():
        return "ssh remembers no host keys (UserKnownHostsFile /dev/null)"
    if settings.get("nohostauthenticationforlocalhost", "").lower() == "yes":
        return "ssh does not check localhost (NoHostAuthenticationForLocalhost)"
    if shared:
        return "ssh shares its connection at a place that others may write to (ControlPath %s)" % settings["controlpath"]
    return VERIFIED


def _private(path):
    """Whether no one else can put a socket at a path: ssh speaks with whatever listens there, and checks no host key then."""
    mine = (0, os.geteuid())
    place = os.path.dirname(os.path.realpath(path))
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    info, below = os.stat(place), None
    while info.st_uid in mine or below is not None:
        # A group of one's own, as some systems give each user, has no one else in it.
        others = info.st_mode & stat.S_IWOTH or info.st_mode & stat.S_IWGRP and info.st_gid not in mine
        # Of a directory such as /tmp each one may only remove what is theirs.
        if others and (not info.st_mode & stat.S_ISVTX or below not in mine):
            return False
        if place == os.path.dirname(place):
            return True
        place, below = os.path.dirname(place), info.st_uid
        info = os.stat(place)
    return False


def terminal(action):
    """Whether ssh makes a terminal whatever is asked of it: that would show what goes to a program's standard input."""
    if str(getattr(action._connection, "transport", "")).rsplit(".", 1)[-1] != "ssh":
        return False
    try:
        return _settings(_command(action._connection)).get("requesttty") == "force"
    except (OSError, ValueError, KeyError, subprocess.SubprocessError):
        return True


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
    words = " ".join(command).lower()
    if "controlpersist" in words and "controlpath" not in words:
        # The connection gives it one of its own then, in a directory that it makes.
        directory = unfrackpath(option("control_path_dir"))
        os.makedirs(directory, mode=0o700, exist_ok=True)
        command += ["-o", 'ControlPath="%s"' % ((option("control_path") or "%(directory)s/own") % {"directory": directory})]
    return command + ["--", option("host") or connection.host]


def _settings(command):
    """What ssh prints of its settings; of one that has several lines, the last."""
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=True, text=True)
    return dict(line.split(" ", 1) for line in answer.stdout.splitlines() if " " in line)
