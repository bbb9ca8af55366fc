# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the collection's program from a cache on the host, in one command.

On a host that has this build already, a task is one command over the open
connection with the arguments on its standard input: nothing is written there,
and no Python is needed. A host that has it not says so in the same answer and
gets it once, compressed, over the same channel, in the command that runs it.

A program that somebody else could have put there never runs. The cache and
every directory above it belong to root or to who runs the program, and nobody
else may write them; the program itself belongs to who runs it, has mode 0700,
the size of this build and its hash in its name. The hash is computed when the
program arrives, before its first use, and not at each run: who could change it
after that is root, or the user whose rights it would run with.

The cache is not within the agent's state directory, which the agent may write
although it is confined.
"""

from __future__ import annotations

import collections
import fcntl
import gzip
import hashlib
import os
import secrets
import tempfile

from ansible import constants as C
from ansible.module_utils.common.text.converters import to_bytes
from ansible.utils.display import Display
from ansible_collections.linux_patch.api.plugins.plugin_utils.text import plain

display = Display()

ROOTS_CACHE = "/var/lib/linux_patch_modules"
OTHERS_CACHE = "$HOME/.linux_patch_modules"
PROGRAM = "enrollment"

# The shell's exit codes for a program that it could not start.
NOT_STARTED = (126, 127)

# What a host must have to run the program of one architecture.
Build = collections.namedtuple("Build", "path machines size sha256")

# Both scripts are POSIX sh without the tools that busybox lacks, and one line
# each, because a csh takes no other. What they say is a line that begins with a
# number of this task's own, so that nothing else on the output can say it.
#
# `ls -ldn` is the one portable way to owner, mode and size. Names are last on
# its lines; they hold no blank, or the cache is not used. With an ACL, the mode's
# group part is the most that any entry of it grants.
PRELUDE = (
    # Arguments on a terminal would be echoed, and would have no end.
    r'say() { printf "linux_patch %%s %%s\n" %(nonce)s "$*"; }; [ ! -t 0 ] || { say terminal; exit 1; }; '
    r'm=$(id -u); k=$(uname -s -m); case $k in %(builds)s *) say other; exit 1;; esac; '
    r'd="%(others)s"; [ "$m" != 0 ] || d=%(roots)s; '
    r'p=$(cd -P "${d%%/*}/" && pwd) || { say unsafe; exit 1; }; d=${p%%/}/${d##*/}; '
    r'case $d in *[!A-Za-z0-9_./@+-]*) say unsafe; exit 1;; esac; '
    r'f=$d/%(program)s-$h-linux-$a; p=$d; set -- /; while [ -n "$p" ]; do set -- "$@" "$p"; p=${p%%/*}; done; n=$#; '
    # 0: it may run. 1: it is not there, or not as it should be. 2: somebody
    # else may write the cache. 3: a directory is missing.
    r'check() { r=1; while read -r o x u x s t; do case ${t##* } in '
    r'"$f") case $o in -rwx------*) [ "$u $s" != "$m $z" ] || r=0;; esac;; '
    r'*) case $o in d????-??-*) ;; *) return 2;; esac; case $u in 0 | "$m") ;; *) return 2;; esac; n=$((n - 1));; '
    r'esac; done; [ "$n" = 0 ] || return 3; return $r; }; '
    r'LC_ALL=C ls -ldn "$@" "$f" 2>/dev/null | check; '
)

RUN = PRELUDE + (
    r'case $? in 0) say run; %(start)s "$f" -;; 2) say unsafe; exit 1;; '
    r'*) { command -v gzip && command -v sha256sum; } >/dev/null || { say bare; exit 1; }; say miss "$a"; exit 1;; esac'
)

UPLOAD = (
    # The rest of the input is read also where it is of no use: a controller
    # that cannot deliver it takes the host for unreachable. The first line are
    # the arguments: a shell takes no byte more of a stream than a line has.
    r'trap "cat >/dev/null" EXIT; IFS= read -r j; '
    + PRELUDE
    + r'r=$?; umask 077; [ "$r" != 3 ] || mkdir "$d" 2>/dev/null; n=$#; LC_ALL=C ls -ldn "$@" | check; '
    r'[ $? = 1 ] || { say unsafe; exit 1; }; '
    r'w=$d/.new.%(nonce)s; trap "rm -f \"$w\"; cat >/dev/null" EXIT; trap "exit 1" HUP INT TERM; '
    r'gzip -dc >"$w" && s=$(sha256sum <"$w") && [ "${s%%%% *}" = "$c" ] && chmod 0700 "$w" && mv -f "$w" "$f" || exit 1; '
    r'for w in "$d"/%(program)s-*-linux-"$a"; do [ "$w" = "$f" ] || rm -f "$w"; done; '
    # Of an upload that was cut off; a younger one may be under way.
    r'find "$d" -name ".new.*" -mtime +0 -exec rm -f {} \; 2>/dev/null; cat >/dev/null; trap - EXIT HUP INT TERM; '
    # Where printf is no part of the shell, the arguments would stand in a
    # command line: such a host is asked to run the program in a second command.
    r'case $(command -v printf) in printf) say run; printf %%s "$j" | %(start)s "$f" -;; *) say uploaded;; esac'
)


def run(action, programs, environment, arguments):
    """Runs the program and returns the answer, or None where it did not start: another way is safe then.

    action is the action plugin's object. programs maps an architecture to the
    program's path here and to the names that `uname -m` has for it. environment
    is the shell's text of variables, and arguments goes to the program's
    standard input.
    """
    obstacle = _obstacle(action)
    if obstacle is None:
        builds = _builds(programs)
        answer, said = _run(action, builds, environment, arguments)
        missing = builds.get(said[len("miss "):]) if said.startswith("miss ") else None
        if missing:
            answer, said = _upload(action, missing, builds, environment, arguments)
            if said == "uploaded":
                answer, said = _run(action, builds, environment, arguments)
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
    data = b"%s\n%s" % (to_bytes(arguments), _compressed(build))
    return _started(*_tell(action, UPLOAD, builds, data, environment))


def _started(said, answer):
    if said != "run":
        return None, said
    if answer["rc"] in NOT_STARTED and not answer["stdout"].strip():
        return None, "the file system may be mounted noexec (rc=%s)" % answer["rc"]
    return answer, said


def _tell(action, script, builds, data, environment):
    """Runs a script; returns what it said, and its answer with the output after that."""
    nonce = secrets.token_hex(8)
    cases = (
        "%s) a=%s z=%d h=%s c=%s;;" % ("|".join('"Linux %s"' % m for m in b.machines), arch, b.size, b.sha256[:32], b.sha256)
        for arch, b in builds.items()
    )
    command = script % dict(
        nonce=nonce,
        roots=ROOTS_CACHE,
        others=OTHERS_CACHE,
        program=PROGRAM,
        builds=" ".join(cases),
        start=environment.strip() or "exec",
    )
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


def _builds(programs):
    """The builds by architecture. Ansible forks for each task: what the first finds out, the others read."""
    builds = {}
    for arch, (path, machines) in sorted(programs.items()):
        stat = os.stat(path)
        noted = _note("%s %d %d %d" % (path, stat.st_ino, stat.st_size, stat.st_mtime_ns), lambda: _sha256(path))
        builds[arch] = Build(path, machines, stat.st_size, noted.decode())
    return builds


def _sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest().encode()


def _compressed(build):
    def compress():
        with open(build.path, "rb") as f:
            return gzip.compress(f.read(), 6)

    return _note("gzip " + build.sha256, compress)


def _note(what, make):
    """What make returns, from a file of this run of Ansible where it was made before."""
    name = os.path.join(C.DEFAULT_LOCAL_TMP, "linux_patch_" + hashlib.sha256(what.encode()).hexdigest()[:32])
    try:
        return _read(name)
    except FileNotFoundError:
        pass
    with open(name + ".lock", "wb") as lock:
        # Of twenty forks that need it at once, one makes it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return _read(name)
        except FileNotFoundError:
            pass
        content = make()
        with tempfile.NamedTemporaryFile(dir=C.DEFAULT_LOCAL_TMP, delete=False) as f:
            f.write(content)
        os.replace(f.name, name)
        return content


def _read(name):
    with open(name, "rb") as f:
        return f.read()
