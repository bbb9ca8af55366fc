# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables of the role: which become options, and which are misspelt.

A role ignores a variable that it does not know. With one such as
enroll_manger_ca_path the host would trust something else than was meant.

A task of the role takes the module's options from enroll_OPTION by itself: forty
templates, most of them for variables that are not set, took longer than the
module.
"""

from __future__ import annotations

import difflib
import os

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.utils.display import Display
from ansible_collections.linux_patch.api.plugins.plugin_utils import hidden
from ansible_collections.linux_patch.api.plugins.plugin_utils.documented import OPTIONS, parse
from ansible_collections.linux_patch.api.plugins.plugin_utils.errors import ProgramError

display = Display()

ROLE = "linux_patch.api.enroll"
PREFIX = "enroll_"

# Those of the playbooks, and what role and playbooks register.
OTHERS = frozenset((
    "enroll_hosts", "enroll_become", "enroll_approval", "enroll_report_dir",
    "enroll_result", "enroll_info", "enroll_report",
    "enroll_admin_access_token", "enroll_admin_audit_path", "enroll_admin_ca_path", "enroll_admin_delegate", "enroll_admin_password", "enroll_admin_proxy_url",
    "enroll_admin_totp_secret", "enroll_admin_username", "enroll_allow_unverified_connection", "enroll_allow_unverified_registration",
    "enroll_closed", "enroll_decision", "enroll_decisions", "enroll_expected_addresses", "enroll_expected_fqdn", "enroll_fetch_timeout",
    "enroll_fleet", "enroll_groups", "enroll_on_blocked", "enroll_on_existing", "enroll_register_timeout", "enroll_round",
    "enroll_shared_address", "enroll_try", "enroll_wave", "enroll_code", "enroll_renew_all", "enroll_reissued", "enroll_request",
    "enroll_unclaimed",
))  # fmt: skip

SPECS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "roles", "enroll", "meta", "argument_specs.yml")


def _options():
    """The role's variables, as its specification has them."""
    with open(SPECS, encoding="utf-8") as f:
        return parse(f)["argument_specs"]["main"]["options"]


# Read when this is imported: Ansible imports it once, and forks for each task.
_OPTIONS = _options()
KNOWN = OTHERS.union(_OPTIONS)

# Options whose value stays out of everything that is shown.
SECRETS = hidden.options(_OPTIONS, PREFIX)

# From this likeness on a name is taken for a misspelt one.
CLOSE = 0.84


def check(action, task_vars):
    """Fails on a variable that is like one of the role, and warns about others, in a task of the role."""
    role = action._task._role
    if role is None or role.get_name() != ROLE:
        return
    given = [name for name in task_vars if isinstance(name, str) and name.startswith(PREFIX)]
    for name in sorted(set(given) - KNOWN):
        meant = nearest(name, KNOWN)
        if meant:
            raise ProgramError(
                "ENROLL_INVALID_ARGUMENT",
                "the role %s has no variable %s; did you mean %s?" % (ROLE, name, meant),
                "rename the variable to %s; if it is your own, choose a name that does not begin with %s" % (meant, PREFIX),
            )
        display.warning("the role %s has no variable %s; it is ignored" % (ROLE, name))


def fill(action, module, task_vars):
    """The task's arguments, and where the task asks for it those that the role's variables give."""
    arguments = dict(action._task.args)
    if not fills(task_vars):
        return arguments
    given = {}
    for option in OPTIONS[module]:
        # An empty value is as good as none, so that no trust is ever set to nothing.
        if option not in arguments and task_vars.get(PREFIX + option) not in (None, ""):
            given[option] = action._templar.template(task_vars[PREFIX + option])
    told = action._templar.template(task_vars.get("_enroll_told") or {})
    for option, value in told.items():
        if option in OPTIONS[module] and (option == "config_path" or given.get(option) in (None, "")):
            given[option] = value
    omitted = task_vars.get("omit")
    arguments.update((name, value) for name, value in given.items() if value not in (None, "") and value != omitted)
    if arguments.get("state") != "enrolled":
        arguments.pop("bundle_path", None)
    if module == "enrollment":
        _decide(action, arguments, task_vars)
    return arguments


def _decide(action, arguments, task_vars):
    """What the role decides itself: a config.yaml that it writes is no place for the token, and names the manager."""
    managed = _true(action, task_vars, "config_manage")
    arguments.setdefault("token_storage", "state_dir" if managed else "config")
    if managed:
        arguments.setdefault("config_manager_url", False)


def _value(action, task_vars, name):
    return action._templar.template(task_vars.get(PREFIX + name))


def _true(action, task_vars, name):
    return boolean(_value(action, task_vars, name), strict=False)


def fills(task_vars):
    """Whether this is a task of the role that takes its options from the role's variables."""
    return bool(task_vars.get("_enroll_fill"))


def first(task_vars):
    """Whether this is the role's first task, after which most hosts need no other one."""
    return bool(task_vars.get("_enroll_first"))


def prepares(action, task_vars):
    """Whether work stands before the enrollment: that is in the role's other files."""
    state = _value(action, task_vars, "state")
    if state != "absent" and (_true(action, task_vars, "config_manage") or _true(action, task_vars, "agent_install")):
        return True
    return state == "enrolled" and _value(action, task_vars, "approval") == "proof"


def looks(action, task_vars):
    """Whether the role's first task only looks, since how many may ask the manager at once is said of the one that follows."""
    throttled = _value(action, task_vars, "throttle") not in (None, "", 0, "0")
    return throttled and not action._task.check_mode and _value(action, task_vars, "state") != "absent"


def verifies(action, task_vars):
    """Whether the role looks at the host after the enrollment."""
    return _true(action, task_vars, "verify") and not action._task.check_mode


def report_options(action, arguments, task_vars):
    """The options of the report that verifies a run of the role's first task."""
    wanted = {name: value for name, value in arguments.items() if name in OPTIONS["enrollment_info"]}
    status = _value(action, task_vars, "status_path")
    return dict(wanted, status_path=status) if status else wanted


def healthy(result, report):
    """Whether a run and the report that came with it are what the role's verification waits for."""
    if not report or report.get("failed"):
        return False
    return result.get("state") != "enrolled" or bool(report.get("valid")) and not report.get("problems")


def nearest(name, known):
    """The known variable that was meant, or None."""
    names = sorted(k[len(PREFIX):] for k in known)
    found = difflib.get_close_matches(name[len(PREFIX):], names, 1, CLOSE)
    return PREFIX + found[0] if found else None
