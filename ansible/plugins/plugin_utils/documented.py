# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the documentation of the modules says, for the action plugins.

It is the one list of options and of results. It is read when this is imported:
Ansible imports it once, and forks for each task.
"""

from __future__ import annotations

import importlib

import yaml

MODULES = ("enrollment", "enrollment_info")


def parse(text):
    """YAML of this collection's own, read with the quick loader where there is one."""
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both loaders are safe ones


def _module(name):
    return importlib.import_module("ansible_collections.linux_patch.api.plugins.modules." + name)


def options(name):
    """The options of a module, as its documentation has them."""
    return parse(_module(name).DOCUMENTATION)["options"]


OPTIONS = {name: frozenset(options(name)) for name in MODULES}
RESULTS = {name: parse(_module(name).RETURN) for name in MODULES}
