#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The documentation of the module. The action plugin of the same name runs a
# static binary on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: enrollment_approval
short_description: Approve the enrollment requests of hosts by proof
version_added: 0.2.0
description:
  - Approves at the manager the enrollment requests that are proven to be those of the hosts of the inventory. No name is clicked on.
  - A request is approved only if it holds the hash of the polling token that the host itself holds, and if its name and address are
    those that the inventory expects for that host. What only looks like a host's request is listed under C(suspects) and left alone.
  - It runs on the controller, once for many hosts. The playbook C(linux_patch.api.enroll_fleet) shows how.
  - A host that is refused is a result, not a failure of the task. A fleet that is enrolled costs no login and no request.
options:
  hosts:
    description:
      - The hosts to decide on.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The host's name in the inventory.
        type: str
        required: true
      fqdn:
        description:
          - The only name that may be approved for it.
        type: str
        required: true
      addresses:
        description:
          - The addresses and networks of which the request may name one, as a list or a text with commas. V(any) takes all.
          - Without it no request of the host is approved.
        type: raw
      evidence:
        description:
          - The host's result of M(linux_patch.api.enrollment) or M(linux_patch.api.enrollment_info).
        type: dict
      request_id:
        description:
          - What was approved for the host earlier in this run. O(state=closed) compares it.
        type: str
      repairs:
        description:
          - How often a request in the host's way was denied in this run, as RV(results) has it. From two on no more is denied.
        type: int
      decide:
        description:
          - Whether to decide on this host. With V(false) it is only known, so that a host with its name, its machine-id or its token is
            recognized as its twin. That is for the hosts of other waves.
        type: bool
        default: true
  state:
    description:
      - V(approved) approves what is proven.
      - V(denied) denies the hosts' own requests.
      - V(withdrawn) undoes an approval. The host's certificates are revoked by re-issuing them, and the host is removed.
      - V(closed) compares the certificates that hosts installed with those that the manager issued, at the end of a run.
      - V(reissued) renews an enrolled host gently. It has the manager issue new certificates, which revokes the old ones and keeps the host's
        groups and history, and puts them in place on the host that the task runs for. The private key goes to the standard input of the
        host's program. It needs a verified connection, and is in no file, variable or result on the way.
    type: str
    choices: [approved, denied, withdrawn, closed, reissued]
    default: approved
  on_blocked:
    description:
      - What to do with a request of someone else that has a host's machine-id, so that the host cannot register.
      - V(report) leaves it to a person. V(deny) denies it, where it also has the host's name and no other host of the inventory has that
        machine-id. The host then registers again.
    type: str
    choices: [report, deny]
    default: report
  on_existing:
    description:
      - What to do where the manager has a host of this name or address already.
      - V(report) leaves it to a person. V(reissue) leaves it to C(linux_patch.api.renew_fleet), which keeps groups and history.
        V(replace) removes that host, but only one of exactly this name, and then approves.
    type: str
    choices: [report, reissue, replace]
    default: report
  enrollment:
    description:
      - The options of M(linux_patch.api.enrollment) for the host, with O(state=reissued).
    type: dict
  groups:
    description:
      - The ids of groups of the manager that a host is put into right after its approval.
    type: list
    elements: str
  allow_unverified_connection:
    description:
      - Accept what was reported over a connection that was not verified. Anyone who intercepts it can then have their own request approved.
    type: bool
    default: false
  allow_unverified_registration:
    description:
      - Believe the token of a host of which it is unknown how it verified the manager, such as one that a deployed agent registered.
        A registration with O(linux_patch.api.enrollment#module:insecure) is never believed.
    type: bool
    default: false
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
      - In check mode it logs in and lists the requests, and does nothing else.
  diff_mode:
    description: Says with C(--diff) what changed, or would change.
    support: full
    details:
      - One line for each request that is decided, with what proved it.
  idempotent:
    description: Run twice in a row, outside of check mode, the second run changes nothing.
    support: full
    details:
      - A request that is decided is not listed any more.
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
- name: Register all hosts
  hosts: all
  tasks:
    - name: Make the request
      linux_patch.api.enrollment:
        manager_url: https://manager.example.com
        manager_ca_path: /etc/ssl/company-ca.pem
        state: registered
      register: registration

- name: Approve them by proof
  hosts: all
  gather_facts: false
  tasks:
    - name: Approve what is proven
      linux_patch.api.enrollment_approval:
        manager_url: https://manager.example.com
        manager_ca_path: files/company-ca.pem
        username: enrollment-robot
        password: "{{ vault_manager_password }}"
        totp_secret: "{{ vault_manager_totp }}"
        hosts:
          - name: "{{ inventory_hostname }}"
            fqdn: "{{ inventory_hostname }}"
            addresses: ["{{ ansible_host }}"]
            evidence: "{{ registration }}"
      throttle: 1

- name: Deny a host's own request
  hosts: web1.example.com
  gather_facts: false
  tasks:
    - name: Deny it
      linux_patch.api.enrollment_approval:
        state: denied
        hosts:
          - name: "{{ inventory_hostname }}"
            fqdn: web1.example.com
            evidence: "{{ registration }}"
"""

RETURN = r"""
msg:
  description: One sentence for a person.
  returned: always
  type: str
  sample: 498 approved, 1 blocked, 1 wrong_name
results:
  description: What was decided for each host, by its name.
  returned: when hosts were decided on
  type: dict
  contains:
    HOST:
      description: One host.
      type: dict
      contains:
        decision:
          description:
            - The decision in one word, such as V(approved), V(enrolled), V(blocked), V(wrong_name), V(host_exists) or V(unclaimed).
          type: str
          sample: approved
        refused:
          description: Whether the host is neither approved nor enrolled.
          type: bool
          sample: false
        reason:
          description: Why, in a sentence.
          type: str
          sample: the request holds the hash of the polling token of this host, and its name and address are those of the inventory
        request_id:
          description: The request that the decision is about. An approved host has the same id at the manager.
          type: str
          sample: 6a1b5291-bc3b-4b92-87c6-c20439bedcf6
        matched_by:
          description: What chose the request, V(token) or V(proof).
          type: str
          sample: token
        register_again:
          description: Whether a request was denied so that the host can make one.
          type: bool
          sample: false
        repairs:
          description: How often that was done for the host in this run.
          type: int
          sample: 0
        twin:
          description: Another host of the inventory that has the same machine-id or polling token.
          type: str
          sample: ""
        existing:
          description: The host that the manager has in this one's place.
          returned: where there is one
          type: dict
          sample: {"id": "0c9a…", "fqdn": "web1.example.com", "ip_address": "192.0.2.21", "since": "2026-01-02T03:04:05Z"}
        compared:
          description: Each field as inventory, host and manager have it.
          type: list
          elements: dict
          sample: [{"field": "fqdn", "inventory": "web1.example.com", "host": "", "manager": "web1.example.com"}]
        suspects:
          description: Requests that share a name, machine-id, proof or address with the host and are not its own. At most 20.
          type: list
          elements: dict
          sample: []
        suspect_count:
          description: How many there are.
          type: int
          sample: 0
counts:
  description: The decisions, and how many hosts met each.
  returned: when hosts were decided on
  type: dict
  sample: {"approved": 498, "blocked": 1, "wrong_name": 1}
unclaimed_rows:
  description: The requests that belong to no host that was decided on. The first 20 are shown.
  returned: when the requests were listed
  type: dict
  sample: {"count": 0, "first": []}
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
