# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the administrator's login of a run is kept: a file in the run's temporary directory, which goes with the run."""

from __future__ import annotations

import glob
import json
import os
import platform

from ansible import constants as C
from ansible_collections.linux_patch.api.plugins.plugin_utils.artifacts import MACHINES

NAME = "linux_patch_session-"

# What of a session's file it takes to end the session.
CONNECTION = ("manager_url", "manager_ca_path", "manager_ca_pem", "manager_ca_fingerprint", "proxy_url")


def runs_here():
    """Whether this controller runs the program itself; a delegate does otherwise, and has the login."""
    return platform.system() == "Linux" and platform.machine() in MACHINES


def connection(path):
    """How to reach the manager of a login; nothing where the file holds none, or is not of who runs this."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, encoding="utf-8") as f:
            saved = json.load(f) if os.fstat(descriptor).st_uid == os.geteuid() else {}
    except (OSError, ValueError):
        return {}
    if not isinstance(saved, dict) or not saved.get("access_token"):
        return {}
    return {name: saved[name] for name in CONNECTION if saved.get(name)}


def of_this_run():
    """The files of this run."""
    return glob.glob(os.path.join(C.DEFAULT_LOCAL_TMP, NAME + "*"))


def of_killed_runs():
    """The files that killed runs left."""
    found = glob.glob(os.path.join(os.path.dirname(C.DEFAULT_LOCAL_TMP), "ansible-local-*", NAME + "*"))
    directories = {path: os.path.dirname(path) for path in found}
    return [path for path, directory in directories.items() if directory != C.DEFAULT_LOCAL_TMP and not _runs(os.path.basename(directory))]


def left():
    """Whether there is a login to be ended, of this run or of a killed one."""
    return bool(of_this_run() or of_killed_runs())


def _runs(directory):
    """Whether the run that made this temporary directory still runs: its process is in the name."""
    pid = directory[len("ansible-local-"):-8]
    try:
        with open("/proc/%d/cmdline" % int(pid), "rb") as f:
            return b"ansible" in f.read()
    except (OSError, ValueError):
        return False
