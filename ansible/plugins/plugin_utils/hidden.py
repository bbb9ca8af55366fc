# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which options are secret, and text without their values."""

from __future__ import annotations

# Ansible's own word for what it does not show.
REPLACEMENT = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def options(specification, prefix=""):
    """The options that a specification marks with no_log, without the prefix of a role's variables."""
    return frozenset(name[len(prefix):] for name, kind in specification.items() if kind.get("no_log"))


def without(text, given, names):
    """The text without the values that were given for the options of these names."""
    values = (str(given.get(name) or "").strip() for name in names)
    # One may hold another.
    for secret in sorted(filter(None, values), key=len, reverse=True):
        text = text.replace(secret, REPLACEMENT)
    return text
