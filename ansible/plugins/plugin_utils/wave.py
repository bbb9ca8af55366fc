# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the playbooks ask of a wave."""

from __future__ import annotations

# A manager keeps what it approved for 600 s; some of it is spare.
KEPT = 580
# The limits of deployed managers: two calls of the admin API in a second, and
# one question of a host in 12 s from one address.
APPROVAL = 0.505
FROM_ONE_ADDRESS = 12.0
# What a task costs a fork.
FETCH = 2.0


def wave_that_fits(wave, forks, shared):
    """Whether so many hosts are approved and have fetched while the manager keeps their certificates."""
    fetching = FROM_ONE_ADDRESS * wave if shared else FETCH * wave / max(int(forks), 1)
    return APPROVAL * wave + fetching < KEPT
