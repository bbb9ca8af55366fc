# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the playbook enroll_fleet asks of a host and of a wave before any request is made.

The role's first task looks at it, since a play of its own for it took a tenth of
the time of a fleet with nothing to do.
"""

from __future__ import annotations

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.linux_patch.api.plugins.plugin_utils.approval import expected_addresses, expected_fqdn
from ansible_collections.linux_patch.api.plugins.plugin_utils.errors import ProgramError
from ansible_collections.linux_patch.api.plugins.plugin_utils.text import plain

# A manager keeps what it approved for 600 s; some of it is spare.
KEPT = 580
# The limits of deployed managers: two calls of the admin API in a second, and
# one question of a host in 12 s from one address.
APPROVAL = 0.505
FROM_ONE_ADDRESS = 12.0
# What a task costs a fork.
FETCH = 2.0
# How many hosts are approved at once where no one says.
USUAL = 200
USUAL_SHARED = 40

# Ansible's own number of forks.
FORKS = 5

NAMES = ("enroll_expected_fqdn", "enroll_fqdn", "enroll_expected_addresses", "inventory_hostname", "enroll_wave", "enroll_shared_address", "ansible_forks")


def check(action, task_vars):
    """Fails where a task of enroll_fleet is for a host that could not be approved, or could not fetch in time."""
    if not task_vars.get("_enroll_fleet"):
        return
    fits, named = _look(action, task_vars)
    if not fits:
        raise ProgramError(
            "ENROLL_INVALID_ARGUMENT",
            "enroll_wave is too large: the manager keeps what it approved for 600 s, and the rate limits let fewer hosts fetch in that time",
            "make it smaller, or give Ansible more forks",
        )
    if not named:
        raise ProgramError(
            "ENROLL_INVALID_ARGUMENT",
            "nothing says which name may be approved for %s" % plain(task_vars.get("inventory_hostname", "")),
            "set enroll_expected_fqdn, or give the host a name with a dot in the inventory",
        )


def _look(action, task_vars):
    """Whether the wave fits, and the name that may be approved."""
    try:
        given = {name: action._templar.template(task_vars.get(name)) for name in NAMES}
        given["ansible_facts"] = task_vars.get("ansible_facts")
        expected_addresses(given)
        return wave(given, given["ansible_forks"] or FORKS), expected_fqdn(given)
    except ProgramError:
        raise
    except Exception as e:  # pylint: disable=broad-except
        raise ProgramError("ENROLL_INVALID_ARGUMENT", "a variable of enroll_fleet cannot be used: %s" % plain(e), "correct it") from e


def wave_that_fits(wave, forks, shared):
    """Whether so many hosts are approved and have fetched while the manager keeps their certificates."""
    fetching = FROM_ONE_ADDRESS * wave if shared else FETCH * wave / max(int(forks), 1)
    return APPROVAL * wave + fetching < KEPT


def wave(variables, forks=None, broken=None):
    """How many hosts are approved at once, as a host's variables say; 0 where forks are given and so many cannot fetch in time.

    A variable that cannot be used fails, unless broken is given: that is returned then.
    """
    try:
        shared = boolean(variables.get("enroll_shared_address") or False)
        hosts = _count(variables.get("enroll_wave"), USUAL_SHARED if shared else USUAL)
        return hosts if forks is None or wave_that_fits(hosts, forks, shared) else 0
    except Exception:  # pylint: disable=broad-except
        if broken is None:
            raise
        return broken


def _count(given, usual):
    if given in (None, ""):
        return usual
    try:
        count = int(str(given))
    except ValueError:
        count = 0
    if count < 1:
        raise ProgramError("ENROLL_INVALID_ARGUMENT", "enroll_wave must be a number of hosts, 1 or more, got: %s" % plain(given, 40), "correct enroll_wave")
    return count


def smallest_wave(hosts, hostvars):
    """The smallest of the hosts' waves: a play takes one for all, and sees no host's variables."""
    return min([wave(hostvars.get(host, {}), broken=USUAL) for host in hosts] or [USUAL])
