# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text from hosts and managers, made fit for a terminal, a page and a person's eye.

What a person compares must look like what it is. So nothing passes that moves a
cursor, breaks a line, turns the direction of writing or cannot be seen. The
program has the same two rules, for text and for host names (internal/plaintext,
internal/hostname in its sources), and one table of cases for each holds both.
"""

from __future__ import annotations

import functools
import re
import unicodedata

# What stands where something was taken out.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# Space of any kind, by category or as a control character.
SPACES = frozenset(("Zs", "Zl", "Zp"))
SPACING = frozenset("\t\n\v\f\r\x85")

# Control and format characters, lone surrogates, and what no font has.
UNPRINTABLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn"))

# Letters that show nothing, although Unicode does not call them format characters.
INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")

MACHINE_ID = re.compile(r"[0-9a-f]{32}\Z")
LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")


# What begins a template: Ansible before 2.19 evaluates again what a filter returns
# into a loop, and marks of untrusted text do not survive that.
TEMPLATE = re.compile(r"\{(?=[{%#])")


def untemplated(make):
    """The filter make, in whose result no text can be taken for a template."""

    @functools.wraps(make)
    def made(*args, **kwargs):
        return _untemplated(make(*args, **kwargs))

    return made


def _untemplated(value):
    if isinstance(value, str):
        return TEMPLATE.sub("{ ", value)
    if isinstance(value, list):
        return [_untemplated(item) for item in value]
    if isinstance(value, dict):
        return {key: _untemplated(item) for key, item in value.items()}
    return value


def plain(value, limit=300, lines=False):
    """The value as text of at most limit characters, on one line unless lines is true."""
    text = value if isinstance(value, str) else str(value)
    cut = text[:limit]
    if lines:
        cut = "\n".join(_line(line, "\t") for line in cut.split("\n"))
    else:
        cut = _line(cut, " ")
    return cut if len(text) <= limit else cut + "..."


def _line(line, tab):
    if line.isascii() and line.isprintable():
        return line
    return "".join(_shown(c, tab) for c in line)


def _shown(c, tab):
    category = unicodedata.category(c)
    if c == "\t":
        return tab
    if category in SPACES or c in SPACING:
        return " "
    if category in UNPRINTABLE or c in INVISIBLE:
        return REPLACEMENT
    return c


def host_name(value):
    """The value where it is a host name, else words that cannot be taken for one."""
    text = value if isinstance(value, str) else ""
    name = text[:-1] if text.endswith(".") else text
    labels = name.split(".")
    # A last label of digits alone makes it an address to some reader.
    if len(name) <= 253 and all(LABEL.match(label) for label in labels) and not (labels[1:] and labels[-1].isdigit()):
        return text
    return _refused("no valid name", value)


def machine_id(value):
    """The value where it is a machine-id, else words that cannot be taken for one."""
    if isinstance(value, str) and MACHINE_ID.match(value):
        return value
    return _refused("no valid machine-id", value)


def _refused(what, value):
    return "(%s)" % what if value in (None, "") else "(%s: %s)" % (what, plain(value, 80))
