# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs that the collection ships, as it ships them.

Each is there once, compressed, since that is what a host is sent. Size and hash
of the program itself were taken when the collection was built and stand in
programs.json beside them, so no run of Ansible compresses or hashes them again.

Where the program is needed as it is, it is unpacked into the temporary
directory of this run of Ansible, which no one else may enter and which goes with
the run. What is unpacked must have the size and the hash of the build.
"""

from __future__ import annotations

import collections
import fcntl
import gzip
import hashlib
import json
import os
import tempfile

from ansible import constants as C
from ansible_collections.linux_patch.api.plugins.plugin_utils.errors import ProgramError

COLLECTION = "linux_patch.api"
ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "artifacts"))
NOTES = os.path.join(ROOT, "programs.json")

# What `uname -m` says, and how the artifacts are named. A 32-bit user land on
# one of these kernels is no obstacle: the programs are static.
MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

# path is the compressed file; size and sha256 are those of the program in it,
# and machines what the host's `uname -m` may say.
Artifact = collections.namedtuple("Artifact", "name path machines size sha256")


def shipped(program):
    """The builds of a program by architecture."""
    found = {}
    for name, note in _notes().items():
        directory, _slash, file = name.partition("/")
        arch = directory[len("linux-"):]
        path = os.path.join(ROOT, name + ".gz")
        if file == program and os.path.isfile(path):
            machines = [machine for machine, meant in MACHINES.items() if meant == arch]
            found[arch] = Artifact(name, path, machines, note["size"], note["sha256"])
    if not found:
        raise ProgramError(
            "ENROLL_UNSUPPORTED",
            "this installation of %s holds no %s" % (COLLECTION, program),
            "install the collection from its tarball; a checkout of its sources holds none",
        )
    return found


def _notes():
    try:
        with open(NOTES, encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return {}


def packed(artifact):
    """The compressed program, as it is sent."""
    with open(artifact.path, "rb") as f:
        return f.read()


def unpacked(artifact):
    """The path of the program itself, unpacked by the first task of this run that needs it."""
    directory = os.path.join(C.DEFAULT_LOCAL_TMP, "linux_patch_" + artifact.sha256)
    path = os.path.join(directory, os.path.basename(artifact.name))
    if os.path.exists(path):
        return path
    os.makedirs(directory, mode=0o700, exist_ok=True)
    with open(os.path.join(directory, ".lock"), "wb") as lock:
        # Of twenty forks that need it at once, one unpacks it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            _write(path, _verified(artifact))
    return path


def _verified(artifact):
    try:
        with gzip.open(artifact.path) as f:
            # One byte more than it may have tells that there are more.
            content = f.read(artifact.size + 1)
    except (OSError, EOFError) as e:
        raise _damaged(artifact) from e
    if len(content) != artifact.size or hashlib.sha256(content).hexdigest() != artifact.sha256:
        raise _damaged(artifact)
    return content


def _damaged(artifact):
    return ProgramError(
        "ENROLL_INTERNAL",
        "%s is not what the collection was built with" % artifact.path,
        "install the collection again: ansible-galaxy collection install --force %s" % COLLECTION,
    )


def _write(path, content):
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(path), delete=False) as f:
        f.write(content)
        os.fchmod(f.fileno(), 0o700)
    os.replace(f.name, path)


def for_machine(program, machine):
    """The path of a program, unpacked, for what `uname -m` says."""
    found = shipped(program)
    arch = MACHINES.get(machine)
    if arch not in found:
        raise ProgramError("ENROLL_UNSUPPORTED", "the collection ships no %s for %s" % (program, machine), "build it from its sources")
    return unpacked(found[arch])
