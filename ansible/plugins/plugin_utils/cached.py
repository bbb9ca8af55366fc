# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the collection's program from a cache on the host, in one command.

On a host that has this build already, a task is one command over the open
connection with the arguments on its standard input: nothing is written there,
and no Python is needed. A host that has it not says so in the same answer and
gets it once, compressed, over the same channel, in the command that runs it.

A program that someone else could have put there never runs. The cache and
every directory above it belong to root or to who runs the program, and no one
else may write them; the program itself belongs to who runs it, has mode 0700,
the size of this build and its hash in its name. The hash is computed when the
program arrives, before its first use, and not at each run: who could change it
after that is root, or the user whose rights it would run with.

The cache is not within the agent's state directory, which the agent may write
although it is confined.
"""

from __future__ import annotations

import os
import secrets

from ansible import constants as C
from ansible.module_utils.common.text.converters import to_bytes
from ansible.utils.display import Display
from ansible_collections.linux_patch.api.plugins.plugin_utils import artifacts
from ansible_collections.linux_patch.api.plugins.plugin_utils.text import plain

display = Display()

ROOTS_CACHE = "/var/lib/linux_patch_modules"
OTHERS_CACHE = "$HOME/.linux_patch_modules"
PROGRAM = "enrollment"

# The shell's exit codes for a program that it could not start.
NOT_STARTED = (126, 127)

# Joined, the files beside this one are the commands. They are files of their own so
# that a shell's tools and readers have them.
LOOK = ("cached_look.sh",)
RUN = LOOK + ("cached_run.sh",)
UPLOAD = ("cached_read.sh",) + LOOK + ("cached_upload.sh",)


def _shell(name):
    """The commands of a file on one line, because a csh takes no other."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name), encoding="utf-8") as f:
        lines = [line.strip() for line in f]
    return " ".join(line for line in lines if line and not line.startswith("#"))


# Read when this is imported: Ansible imports it once, and forks for each task.
TEXTS = {name: _shell(name) for name in RUN + UPLOAD}

# What the files take as given. Whatever environment a task has stands before the
# program alone; without one, the shell becomes the program.
GIVEN = (
    'nonce=%(nonce)s; roots=%(roots)s; others="%(others)s"; program=%(program)s; '
    "known() { case $1 in %(builds)s *) return 1;; esac; }; "
    'start() { %(start)s "$@"; }; '
)


def run(action, programs, environment, arguments):
    """Runs the program and returns the answer, or None where it did not start: another way is safe then.

    action is the action plugin's object. programs are the builds by architecture,
    as artifacts.shipped gives them. environment is the shell's text of variables,
    and arguments goes to the program's standard input.
    """
    obstacle = _obstacle(action)
    if obstacle is None:
        answer, said = _run(action, programs, environment, arguments)
        missing = programs.get(said[len("miss "):]) if said.startswith("miss ") else None
        if missing:
            answer, said = _upload(action, missing, programs, environment, arguments)
            if said == "uploaded":
                answer, said = _run(action, programs, environment, arguments)
        if answer is not None:
            return answer
        obstacle = plain(said)
    display.vvv("not run from the cache: %s" % obstacle, host=action._play_context.remote_addr)
    return None


def _obstacle(action):
    """Why a stream cannot reach the program, as far as that is known beforehand."""
    connection = action._connection
    if C.DEFAULT_KEEP_REMOTE_FILES:
        return "the remote files are to be kept"
    if not getattr(connection, "has_pipelining", False):
        return "the connection has no pipelining"
    if getattr(connection._shell, "SHELL_FAMILY", "") != "sh":
        return "the shell is not POSIX"
    become = connection.become
    if become is None:
        return None
    if getattr(become, "require_tty", False):
        return "%s needs a terminal" % become.name
    if become.get_option("become_pass"):
        if become.name.split(".")[-1] == "su":
            return "su reads a password from a terminal"
        # Whatever pipelining says, a password goes through a terminal there,
        # and what follows goes nowhere.
        if connection.transport == "local" and not _pipelining(action):
            return "a local become with a password has no standard input"
    return None


def _pipelining(action):
    try:
        return action._connection.get_option("pipelining")
    except KeyError:
        return action._play_context.pipelining


def _run(action, builds, environment, arguments):
    """The answer, or None, and what the host said."""
    return _started(*_tell(action, RUN, builds, to_bytes(arguments), environment))


def _upload(action, build, builds, environment, arguments):
    """Brings the program to the host and runs it; returns as _run does."""
    display.vvv("uploading %s" % build.path, host=action._play_context.remote_addr)
    data = b"%s\n%s" % (to_bytes(arguments), artifacts.packed(build))
    return _started(*_tell(action, UPLOAD, builds, data, environment))


def _started(said, answer):
    if said != "run":
        return None, said
    if answer["rc"] in NOT_STARTED and not answer["stdout"].strip():
        return None, "the file system may be mounted noexec (rc=%s)" % answer["rc"]
    return answer, said


def _tell(action, files, builds, data, environment):
    """Runs the joined files; returns what it said, and its answer with the output after that."""
    nonce = secrets.token_hex(8)
    cases = (
        "%s) arch=%s size=%d short=%s sha256=%s;;"
        % ("|".join('"Linux %s"' % m for m in b.machines), arch, b.size, b.sha256[:32], b.sha256)
        for arch, b in sorted(builds.items())
    )
    given = GIVEN % dict(
        nonce=nonce,
        roots=ROOTS_CACHE,
        others=OTHERS_CACHE,
        program=action.PROGRAM,
        builds=" ".join(cases),
        start=environment.strip() or "exec",
    )
    command = given + " ".join(TEXTS[name] for name in files)
    # A named executable keeps Ansible from adding a command of its own, which
    # is there for terminals.
    executable = action._play_context.executable or "/bin/sh"
    answer = action._low_level_execute_command(command, in_data=data, executable=executable)
    lines = answer["stdout"].split("\n")
    for i, line in enumerate(lines):
        words = line.split(None, 2)
        if len(words) == 3 and words[:2] == ["linux_patch", nonce]:
            return words[2].strip(), dict(answer, stdout="\n".join(lines[i + 1:]))
    return "no answer (rc=%s)" % answer["rc"], answer
