# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the program as a job that outlives the connection: what `async` asks for.

Ansible's own async_wrapper starts the job, watches its time and keeps its
result, so that polling and async_status work as for any module. It is Python,
and runs on the host. It takes the arguments from a file only, and removes that
file when the job ends, which here may be a day later. So what it starts is not
the program but a line of shell that opens the file, removes it, and becomes the
program with the arguments on its standard input.

Whatever would leave that file behind is refused before the file is made.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex

from ansible import constants as C
from ansible_collections.linux_patch.api.plugins.plugin_utils.errors import ProgramError
from ansible_collections.linux_patch.api.plugins.plugin_utils.text import plain

STARTER = """#!/bin/sh
exec <"$1" || exit 1
%sexec "${0%%/*}/%s" -
"""


def run(action, arguments, task_vars):
    """Starts the job and returns what async_wrapper says: the id that async_status takes."""
    if action._is_become_unprivileged():
        raise ProgramError(
            "ENROLL_INVALID_ARGUMENT",
            "async is not possible for a become_user who is neither root nor who logs in:"
            " the job could not remove the file with its arguments",
            "log in as that user, become root, or leave async out",
        )
    interpreter, wrapper, takes_command = _wrapper(action, task_vars)
    answer = action._low_level_execute_command("%s -c 'print(\"linux_patch\" + \"_python\")'" % interpreter)
    if answer["rc"] != 0 or "linux_patch_python" not in answer["stdout"]:
        raise ProgramError(
            "ENROLL_UNSUPPORTED",
            "async needs Python on the host, and %s does not run there" % interpreter,
            "leave async out; with wait: false a run ends at once, and the next one goes on after the approval",
            **action._shown(answer)
        )
    try:
        return _start(action, interpreter, wrapper, takes_command, arguments)
    except BaseException:
        # Ansible leaves the clean-up of an async task to the job; there is none.
        action._remove_tmp_path(action._connection._shell.tmpdir, force=True)
        raise


def _wrapper(action, task_vars):
    """The host's Python, async_wrapper as it is to be run with it, and whether it takes a whole command."""
    built = action._configure_module("ansible.legacy.async_wrapper", {}, task_vars)
    if len(built) == 2:  # since 2.19
        shebang, data, path = built[0].shebang, built[0].b_module_data, built[1]
    else:
        _style, shebang, data, path = built
    with open(path, encoding="utf-8") as f:
        takes_command = "invocation_args" in f.read()  # 2.21 does, 2.19 does not
    return shebang.replace("#!", "", 1).strip(), data, takes_command


def _start(action, interpreter, wrapper, takes_command, arguments):
    shell = action._connection._shell
    program, arguments_file, directory = action._place(arguments)
    starter = shell.join_path(directory, "start")
    script = shell.join_path(directory, "async_wrapper.py")
    keep = C.DEFAULT_KEEP_REMOTE_FILES
    action._transfer_data(starter, STARTER % ("" if keep else 'rm -f "$1"\n', action.PROGRAM))
    action._transfer_data(script, wrapper)
    action._fixup_perms2([directory, program, starter, script], execute=True)
    action._fixup_perms2([arguments_file], execute=False)

    words = [interpreter, shlex.quote(script), "j%d" % secrets.randbelow(10**12), str(action._task.async_val)]
    job = [shlex.quote(starter), shlex.quote(arguments_file)]
    if takes_command:
        words += [str(keep), job[0], "/bin/sh"] + job
    else:
        words += job + ["-preserve_tmp"] * keep
    answer = action._low_level_execute_command(" ".join([_environment(action)] + words).strip())
    job = _job(answer["stdout"])
    if job is None:
        raise ProgramError(
            "ENROLL_INTERNAL",
            "async_wrapper did not start the job (rc=%s)" % answer["rc"],
            "look at module_stdout and module_stderr",
            **action._shown(answer)
        )
    # The job removes the directory.
    shell.tmpdir = None
    return job


def _environment(action):
    """The task's variables, and the one that tells async_wrapper where results go."""
    environment = action._task.environment
    environment.append({"ANSIBLE_ASYNC_DIR": action.get_shell_option("async_dir", default="~/.ansible_async")})
    try:
        return action._compute_environment_string().strip()
    finally:
        environment.pop()


def _job(output):
    found = re.search(r"^\{.*\}\s*$", output, re.MULTILINE)
    try:
        job = json.loads(found.group()) if found else {}
    except (ValueError, RecursionError):
        return None
    # A host may say anything: what passes are an id and numbers.
    number, file = job.get("ansible_job_id"), job.get("results_file")
    if job.get("started") not in (True, 1) or not isinstance(number, str) or not re.match(r"j?[0-9.]{1,64}\Z", number):
        return None
    return dict(
        changed=True, started=1, finished=int(job.get("finished") in (True, 1)), ansible_job_id=number,
        results_file=plain(file, 4096) if isinstance(file, str) else "",
    )
