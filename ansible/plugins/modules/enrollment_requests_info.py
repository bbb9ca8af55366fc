#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The documentation of the module. The action plugin of the same name runs a
# static binary on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: enrollment_requests_info
short_description: List the enrollment requests that wait at the manager
version_added: 0.2.0
description:
  - Lists what waits at the manager for an approval, the facts that an approval by proof compares included. It never changes anything.
  - It runs on the controller, whatever the connection and C(become) of the task are.
options:
  fqdn:
    description:
      - Only requests for this name.
    type: str
  machine_id:
    description:
      - Only requests of this machine-id.
    type: str
  limit:
    description:
      - How many requests are returned at most. The default is 1000. All are counted.
    type: int
  # make options: connection (from internal/admin; do not edit)
  manager_url:
    description:
      - >-
        The manager, as V(https://host[:port][/base]). The default is the variable E(LINUX_PATCH_MANAGER_URL) of the
        controller's environment.
    type: str
  manager_ca_path:
    description:
      - The CA of the manager's HTTPS certificate, a file on the controller. It replaces the system's roots.
      - Mutually exclusive with O(manager_ca_pem).
    type: path
  manager_ca_pem:
    description:
      - The same as PEM text.
    type: str
  manager_ca_fingerprint:
    description:
      - The SHA-256 fingerprint of the manager's HTTPS certificate or of the CA that issued it, in hexadecimal.
    type: str
  proxy_url:
    description:
      - >-
        The proxy on the way from the controller to the manager. The default is that of the proxy variables of the
        environment.
      - It appears in no output.
    type: str
  username:
    description:
      - A local account of the manager with the role C(admin). An account for automation alone is best.
      - The default is the variable E(LINUX_PATCH_MANAGER_USERNAME).
    type: str
  password:
    description:
      - The password of O(username). A login is tried once. The default is the variable E(LINUX_PATCH_MANAGER_PASSWORD).
      - It appears in no output.
    type: str
  totp_secret:
    description:
      - >-
        The TOTP seed of the account, in base32. A code serves once, so that a second login of the account waits for the
        next one.
      - The default is the variable E(LINUX_PATCH_MANAGER_TOTP_SECRET). Mutually exclusive with O(totp_code).
      - It appears in no output.
    type: str
  totp_code:
    description:
      - One TOTP code, for a run by hand.
      - It appears in no output.
    type: str
  access_token:
    description:
      - An access token of the manager, in place of an account. It is neither renewed nor logged out.
      - The default is the variable E(LINUX_PATCH_MANAGER_TOKEN). Mutually exclusive with O(username).
      - It appears in no output.
    type: str
  keep_session:
    description:
      - Keep the login for later tasks of the same run. The last one leaves this out, and with that logs out.
    type: bool
    default: false
  audit_path:
    description:
      - A log on the controller, to which each login, approval, denial, re-issue and removal appends one line of JSON.
    type: path
  timeout:
    description:
      - How many seconds the task may take, waits for the rate limit included. The default is 1800.
    type: int
  # make options: end
attributes:
  check_mode:
    description: Can run in check mode and say what it would change, without changing it.
    support: full
    details:
      - This module never changes anything.
  diff_mode:
    description: Says with C(--diff) what changed, or would change.
    support: N/A
    details:
      - This module never changes anything.
  idempotent:
    description: Run twice in a row, outside of check mode, the second run changes nothing.
    support: full
    details:
      - This module never changes anything.
  async:
    description: Can be run with the C(async) keyword.
    support: none
  platform:
    description: Where the module can be run.
    platforms: linux
    support: full
    details:
      - The task runs on the controller, which must be Linux on x86_64 or aarch64.
      - From another controller delegate the task to a Linux host that you trust with the manager's account, with C(delegate_to). The program
        then runs there, and gets its arguments on its standard input.
  action:
    description: Has an action plugin of the same name, so that parts of it run on the controller.
    support: full
    details:
      - All of it runs on the controller, whatever the connection and C(become) of the task are.
  action_group:
    description: Use C(group/linux_patch.api.linux_patch) in C(module_defaults) to set defaults for the modules of this collection.
    support: full
    membership:
      - linux_patch.api.linux_patch
author:
  - The linux_patch enroll authors (@linux-patch)
"""

EXAMPLES = r"""
- name: List what waits
  linux_patch.api.enrollment_requests_info:
    manager_url: https://manager.example.com
    username: enrollment-robot
    password: "{{ vault_manager_password }}"
  run_once: true
  register: waiting

- name: Show it
  ansible.builtin.debug:
    msg: "{{ item.fqdn }} {{ item.machine_id }} {{ item.ip_address }}"
  loop: "{{ waiting.enrollments.rows }}"
  run_once: true
"""

RETURN = r"""
msg:
  description: One sentence for a person.
  returned: always
  type: str
  sample: 12 requests wait
enrollments:
  description: The requests.
  returned: success
  type: dict
  contains:
    total:
      description: How many match.
      type: int
      sample: 12
    rows:
      description:
        - The requests, the newest first. Each has C(request_id), C(machine_id), C(fqdn), C(hostname), C(ip_address), C(token_sha256),
          C(proof), C(os_details), C(created_at), C(expires_at) and C(expired). All but the id and the hash are what the sender claims.
      type: list
      elements: dict
      sample: [{"request_id": "6a1b5291-bc3b-4b92-87c6-c20439bedcf6", "fqdn": "web1.example.com", "ip_address": "192.0.2.21"}]
requests:
  description: How many requests were sent to the manager, by kind, and RV(ignore:total) of them.
  returned: always
  type: dict
  sample: {"list": 2, "approve": 1, "total": 5}
audit:
  description: What was done at the manager, as the audit log has it.
  returned: always
  type: list
  elements: dict
  sample: [{"event": "admin.approved", "account": "robot", "inventory_host": "web1", "matched_by": "token"}]
warnings:
  description: No failure, but to be known.
  returned: always
  type: list
  elements: str
  sample: []
error:
  description: Why the task failed.
  returned: on failure
  type: dict
  contains:
    code:
      description: The error code. Playbooks may match on it.
      type: str
      sample: ENROLL_LOGIN
    retryable:
      description: Whether the same task may succeed later.
      type: bool
      sample: false
    hint:
      description: What to do.
      type: str
      sample: check the account, its role and the second factor; a failed login is never repeated by itself
"""
