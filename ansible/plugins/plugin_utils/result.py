# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a host's answer becomes the result of a task.

A host may be in someone else's hands, and some keys of a result steer the
controller: facts, statistics, new hosts, warnings that a terminal shows. So a
result is made anew of the keys that the module's documentation has, each with a
value of the documented type. That documentation is the one list of them.
"""

from __future__ import annotations

from ansible.utils.unsafe_proxy import wrap_var
from ansible_collections.linux_patch.api.plugins.plugin_utils.documented import RESULTS
from ansible_collections.linux_patch.api.plugins.plugin_utils.text import plain

# Every result has these; RETURN does not document them.
COMMON = {"changed": {"type": "bool"}, "failed": {"type": "bool"}}

LONGEST_TEXT = 8 << 10
LONGEST_LIST = 10_000
# The text of a file, as a difference shows it, and all texts of a result together.
LONGEST_FILE = 1 << 20
LONGEST_RESULT = 8 << 20
LARGEST_INT = 1 << 63

# The texts that have more than one line.
FILES = ("before", "after")


class _Cleaner:
    """Makes one result; what is left of LONGEST_RESULT is counted in it."""

    def __init__(self):
        self.left = LONGEST_RESULT

    def value(self, name, value, spec):
        """The value as it may pass, or None."""
        make = getattr(self, "_" + spec.get("type", "str"), None)
        return None if make is None or value is None else make(name, value, spec)

    def _bool(self, name, value, spec):
        return value if isinstance(value, bool) else None

    def _int(self, name, value, spec):
        return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST_INT else None

    def _str(self, name, value, spec):
        if not isinstance(value, str):
            return None
        file = name in FILES
        text = plain(value, min(self.left, LONGEST_FILE if file else LONGEST_TEXT), lines=file)
        self.left -= min(self.left, len(text))
        return text

    def _list(self, name, value, spec):
        if not isinstance(value, list):
            return None
        element = dict(spec, type=spec.get("elements", "str"))
        made = (self.value(name, item, element) for item in value[:LONGEST_LIST])
        return [item for item in made if item is not None]

    def _dict(self, name, value, spec):
        if not isinstance(value, dict):
            return None
        made = {key: self.value(key, value.get(key), inner) for key, inner in spec.get("contains", {}).items()}
        return {key: item for key, item in made.items() if item is not None}


def clean(module, answer):
    """The result that a host's answer gives, or None where it is no result of this module."""
    result = _Cleaner().value("", answer, {"type": "dict", "contains": dict(COMMON, **RESULTS[module])}) or {}
    if "changed" not in result or "msg" not in result or ("failed" in answer and "failed" not in result):
        return None
    return wrap_var(result)
