# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The failure that becomes a task's result."""

from __future__ import annotations


class ProgramError(Exception):
    """A failure on the way to the program, with the error code of the result."""

    def __init__(self, code, message, hint, **more):
        super().__init__(message)
        self.result = dict(
            failed=True,
            changed=False,
            msg=message,
            actions=[],
            error=dict(code=code, retryable=False, hint=hint),
            **more,
        )
