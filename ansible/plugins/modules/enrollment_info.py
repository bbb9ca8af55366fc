#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The documentation of the module. The module itself is a static binary, which
# the action plugin of the same name transfers and runs.

from __future__ import annotations

DOCUMENTATION = r"""
module: enrollment_info
short_description: Report how the enrollment of a Linux host stands
version_added: 0.1.0
description:
  - Reports whether a host is enrolled, whether the installed certificates are valid, when its certificate expires, and what the
    C(linux_patch_api) daemon says that it serves.
  - It changes nothing and asks neither the manager nor the daemon.
  - What M(linux_patch.api.enrollment) was given on this host, such as O(key_mode), is given here too. A difference is a problem.
  - The host needs no Python.
requirements:
  - Linux on x86_64 or aarch64, on the host.
options:
  # make options: info (from internal/options; do not edit)
  config_path:
    description:
      - >-
        The configuration of the agent C(linux_patch_api), from which the defaults of many options here are read. It may
        be missing.
    type: path
    default: /etc/linux_patch_api/config.yaml
  ca_cert_path:
    description:
      - >-
        The CA's certificate. The default is C(tls.ca_cert) of O(config_path), else
        V(/etc/linux_patch_api/certs/ca.pem).
    type: path
  server_cert_path:
    description:
      - >-
        The host's certificate. The default is C(tls.server_cert) of O(config_path), else
        V(/etc/linux_patch_api/certs/server.pem).
    type: path
  server_key_path:
    description:
      - >-
        The private key. The default is C(tls.server_key) of O(config_path), else
        V(/etc/linux_patch_api/certs/server.key.pem).
    type: path
  crl_path:
    description:
      - >-
        The revocation list. The default is C(tls.crl_path) of O(config_path), else
        V(/etc/linux_patch_api/certs/crl.pem).
    type: path
  whitelist_path:
    description:
      - >-
        The agent's whitelist. The default is C(whitelist.path) of O(config_path), else
        V(/etc/linux_patch_api/whitelist.yaml).
    type: path
  state_dir:
    description:
      - Where enrollment keeps its state.
    type: path
    default: /var/lib/linux_patch_enroll
  status_path:
    description:
      - The agent's status file, which says what it serves. It may be missing.
    type: path
    default: /run/linux_patch_api/status.json
  renew_before:
    description:
      - >-
        The certificate counts as due for renewal within this time before it expires, in seconds, or with one of the
        units V(s), V(m), V(h), V(d), V(w).
      - The default is C(enrollment.cert_renewal_threshold_days) of O(config_path), else V(7d).
    type: str
  manager_url:
    description:
      - >-
        The manager's URL, as given to M(linux_patch.api.enrollment). No request is made. An address in it counts as
        O(manager_ip).
      - The default is C(enrollment.manager_url) of O(config_path).
    type: str
  bundle_ca_fingerprint:
    description:
      - >-
        The SHA-256 fingerprint of the CA, as given to M(linux_patch.api.enrollment). Certificates of this CA that were
        installed by hand are V(enrolled), not V(foreign).
    type: str
  manager_ip:
    description:
      - The manager's address that the whitelist must let in, as given to M(linux_patch.api.enrollment).
      - By default the address that the certificates came from, or that of the manager's URL.
    type: str
  whitelist_manager:
    description:
      - Whether the whitelist must let the manager in. With V(false) a missing entry is no problem.
    type: bool
    default: true
  owner:
    description:
      - The owner that the files must have. By default any.
    type: str
  group:
    description:
      - The group that the files must have. By default any.
    type: str
  cert_mode:
    description:
      - >-
        The mode that the certificates and the CRL must have, as V('0644') or V(u=rw,g=r,o=r). By default any without
        write access for others.
    type: raw
  key_mode:
    description:
      - The mode that the key must have. By default any without access for others.
    type: raw
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
    support: partial
    details:
      - Ansible's async needs Python on the host. Where there is none, and for a I(become_user) who is neither root nor who logs in,
        it is refused, and nothing is transferred.
  platform:
    description: Where the module can be run.
    platforms: linux
    support: full
  action:
    description: Has an action plugin of the same name, so that parts of it run on the controller.
    support: full
  action_group:
    description: Use C(group/linux_patch.api.linux_patch) in C(module_defaults) to set defaults for the modules of this collection.
    support: full
    membership:
      - linux_patch.api.linux_patch
notes:
  - The other connection options of M(linux_patch.api.enrollment), such as O(linux_patch.api.enrollment#module:manager_ca_path), may be given,
    so that C(module_defaults) for the group serve all its modules. They are ignored, since nothing is asked.
seealso:
  - module: linux_patch.api.enrollment
    description: Fixes what this module finds.
author:
  - The linux_patch enroll authors (@linux-patch)
"""

EXAMPLES = r"""
- name: Look at the enrollment
  linux_patch.api.enrollment_info:
  register: enrollment

- name: Fail unless it is healthy
  ansible.builtin.assert:
    that:
      - enrollment.valid
      - enrollment.problems | length == 0
    fail_msg: "{{ enrollment.problems | join('; ') }}"

- name: Name the hosts whose certificate ends within a month
  ansible.builtin.debug:
    msg: "{{ enrollment.days_left }} days left"
  when: enrollment.days_left | default(999) < 30
"""

RETURN = r"""
msg:
  description: How the enrollment stands, as a sentence.
  returned: always
  type: str
  sample: enrolled; the certificate is valid for 364 more days
state:
  description:
    - How far the enrollment has come, one of V(absent), V(pending), V(enrolled), V(foreign), V(denied) and V(request_expired).
    - V(foreign) is a valid certificate that neither an enrollment nor an option accounts for. It is listed under RV(problems).
    - V(request_expired) is the end of a request, not of a certificate.
  returned: unless the task failed before the host was looked at
  type: str
  sample: enrolled
valid:
  description: Whether the certificate, key and CA that are in place can serve now.
  returned: always
  type: bool
  sample: true
days_left:
  description: For how many whole days the certificate is still valid.
  returned: when certificates are in place
  type: int
  sample: 364
renewal_due:
  description: Whether the next enrollment would renew the certificate.
  returned: always
  type: bool
  sample: false
crl_next_update:
  description: When the CRL that is in place becomes out of date, in UTC.
  returned: when a CRL is in place that says so
  type: str
  sample: "2026-11-29T18:03:00Z"
problems:
  description: What is wrong, as sentences. M(linux_patch.api.enrollment) fixes most of it.
  returned: always
  type: list
  elements: str
  sample: []
manager:
  description: The manager of this enrollment.
  returned: when it is known
  type: dict
  contains:
    url:
      description: Its URL.
      type: str
      sample: https://manager.example.com
    ip:
      description: The address that delivered the bundle, which the whitelist is to let in.
      type: str
      sample: 192.0.2.10
    certificate_sha256:
      description: The SHA-256 of the HTTPS certificate that the manager presented when the request was sent.
      returned: while a request waits that this program sent
      type: str
      sample: 0d4ae1b9c27d4f83a5566b1902e7fca4d3891d5702b6ac84e1f03b7d2965a4c8
    verified_by:
      description:
        - What that certificate was verified with. It is the name of an option, V(system) for the system's roots,
          V(insecure) for nothing, or V(unknown) where another program sent the request.
      returned: while a request waits
      type: str
      sample: manager_ca_path
request:
  description: The evidence for who approves this host. It holds no secret.
  returned: while a request waits, or one was sent and its answer is unknown
  type: dict
  contains:
    token_sha256:
      description: The SHA-256 of the polling token, as managers list it. Empty where the host holds no token.
      type: str
      sample: 5b1c2d3e4f60718293a4b5c6d7e8f90112233445566778899aabbccddeeff001
    proof:
      description: The enrollment proof that the request holds in RV(request.os_details), C(v1:) and a SHA-256.
      type: str
      sample: v1:8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4
    earlier_proof:
      description: The proof of an earlier request whose answer was lost, where the manager refused a later one.
      returned: where there is one
      type: str
      sample: v1:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
    ip_address:
      description: The address that the request names.
      type: str
      sample: 192.0.2.21
    os_details:
      description: The operating system that the request names.
      type: dict
      contains:
        id:
          description: ID of /etc/os-release.
          type: str
          sample: debian
        name:
          description: Name of the system.
          type: str
          sample: Debian GNU/Linux
        distro:
          description: The same as C(id).
          type: str
          sample: debian
        version:
          description: Version of the system.
          type: str
          sample: "12"
        os_version:
          description: The same as C(version).
          type: str
          sample: "12"
        id_like:
          description: Systems that it is like.
          type: str
          sample: debian
        codename:
          description: Code name of the version.
          type: str
          sample: bookworm
        kernel:
          description: Release of the kernel.
          type: str
          sample: "6.1.0-27-amd64"
        architecture:
          description: Machine as uname says it.
          type: str
          sample: x86_64
        enrollment_proof:
          description: The enrollment proof.
          type: str
          sample: v1:8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4
    sent_at:
      description: When the request was sent, in UTC.
      type: str
      sample: "2026-11-23T18:03:00Z"
    inventory_hostname:
      description: Which host of the inventory said so. The controller writes it, whatever the host says.
      returned: with Ansible
      type: str
      sample: web1.example.com
    connection:
      description: >-
        V(verified) where the controller knows that it spoke with that host, else why it does not. Verified is ssh that checks host keys,
        and local, docker and podman.
      returned: with Ansible
      type: str
      sample: verified
pending_since:
  description: When the request was made that waits for a decision. Deployed managers forget a request after 24 hours.
  returned: when a request waits
  type: str
  sample: "2026-11-23T18:03:00Z"
machine_id:
  description: The machine-id that the host reports. Who approves should compare it.
  returned: when it is known
  type: str
  sample: 3f0c1d2e4b5a69788796a5b4c3d2e1f0
fqdn:
  description: The name that the host reports. Who approves should compare it.
  returned: when it is known
  type: str
  sample: web1.example.com
certificates:
  description: The certificates that are in place.
  returned: when certificates are in place
  type: dict
  contains:
    ca:
      description: The CA's certificate.
      type: dict
      contains:
        path:
          description: The file.
          type: str
          sample: /etc/linux_patch_api/certs/ca.pem
        subject:
          description: The subject's distinguished name.
          type: str
          sample: CN=Company Patch CA
        issuer:
          description: The issuer's distinguished name.
          type: str
          sample: CN=Company Patch CA
        serial:
          description: The serial number in hexadecimal.
          type: str
          sample: "01"
        fingerprint:
          description: The SHA-256 fingerprint in hexadecimal.
          type: str
          sample: e1c09b27d4f83a5566b1902e7fca4d3891d5702b6ac84e1f03b7d2965a4c8e10
        not_before:
          description: The beginning of its validity, in UTC.
          type: str
          sample: "2026-11-23T18:03:00Z"
        not_after:
          description: The end of its validity, in UTC.
          type: str
          sample: "2036-11-20T18:03:00Z"
        san:
          description: The names and addresses that it is for.
          type: list
          elements: str
          sample: []
    server:
      description: The host's certificate.
      type: dict
      contains:
        path:
          description: The file.
          type: str
          sample: /etc/linux_patch_api/certs/server.pem
        subject:
          description: The subject's distinguished name.
          type: str
          sample: CN=web1.example.com-server
        issuer:
          description: The issuer's distinguished name.
          type: str
          sample: CN=Company Patch CA
        serial:
          description: The serial number in hexadecimal.
          type: str
          sample: 5b2f10a9c4
        fingerprint:
          description: The SHA-256 fingerprint in hexadecimal.
          type: str
          sample: 7d5f8a10c13b3e926411d05cae4f77209be8026a3dc958b1fe04962c83da6147
        not_before:
          description: The beginning of its validity, in UTC.
          type: str
          sample: "2026-11-23T18:03:00Z"
        not_after:
          description: The end of its validity, in UTC.
          type: str
          sample: "2027-11-23T18:03:00Z"
        san:
          description: The names and addresses that it is for.
          type: list
          elements: str
          sample: ["DNS:web1.example.com", "IP:192.0.2.21"]
key:
  description: The private key that is in place. Its content is never returned.
  returned: when a key is in place
  type: dict
  contains:
    path:
      description: The file.
      type: str
      sample: /etc/linux_patch_api/certs/server.key.pem
    mode:
      description: Its mode.
      type: str
      sample: "0600"
whitelist:
  description: Whether the daemon lets the manager in.
  returned: when the manager's address is known
  type: dict
  contains:
    path:
      description: The file.
      type: str
      sample: /etc/linux_patch_api/whitelist.yaml
    entry:
      description: The manager's address.
      type: str
      sample: 192.0.2.10
    present:
      description: Whether an entry covers it.
      type: bool
      sample: true
    covered_by:
      description: The entry that covers it, which is the address itself or a network.
      type: str
      sample: 192.0.2.0/24
service:
  description: What the daemon says that it serves, as its status file has it.
  returned: when there is a status file
  type: dict
  contains:
    pid:
      description: The daemon's process.
      type: int
      sample: 4711
    version:
      description: The daemon's version.
      type: str
      sample: 0.1.0
    state:
      description: What it does, one of V(listening), V(enrolling) and V(idle).
      type: str
      sample: listening
    listen:
      description: The address that it listens on.
      type: str
      sample: 0.0.0.0:12443
    fingerprint:
      description: The SHA-256 fingerprint of the certificate that it serves.
      type: str
      sample: 7d5f8a10c13b3e926411d05cae4f77209be8026a3dc958b1fe04962c83da6147
    since:
      description: Since when it serves that certificate, in UTC.
      type: str
      sample: "2026-11-23T18:03:00Z"
    not_after:
      description: The end of that certificate's validity, in UTC.
      type: str
      sample: "2027-11-23T18:03:00Z"
    log_lines_lost:
      description: How many of its log lines could not be written. Absent if none was lost.
      type: int
      sample: 12
    problem:
      description: What keeps it from serving, or which of certificates, CRL and whitelist on disk it refuses. Absent where nothing does.
      type: str
      sample: "the last CRL stays in force: the CRL cannot be loaded: /etc/linux_patch_api/certs/crl.pem: malformed: empty"
    crl:
      description: The CRL in force. Absent where there is none.
      type: dict
      contains:
        number:
          description: Its number.
          type: str
          sample: "42"
        this_update:
          description: When it was issued, in UTC.
          type: str
          sample: "2026-11-23T18:03:00Z"
        next_update:
          description: When the next one is due, in UTC.
          type: str
          sample: "2026-11-24T18:03:00Z"
        revoked:
          description: How many certificates it lists.
          type: int
          sample: 3
    whitelist:
      description: The entries of the whitelist that it goes by, the first 1000 of them.
      type: list
      elements: str
      sample: ["192.0.2.10"]
    whitelist_entries:
      description: How many entries of the whitelist are in force.
      type: int
      sample: 1
warnings:
  description: What is no failure and should be known.
  returned: always
  type: list
  elements: str
  sample: []
error:
  description: The failure, for playbooks that tell failures apart.
  returned: on failure
  type: dict
  contains:
    code:
      description: A name that does not change, such as V(ENROLL_CONFIG).
      type: str
      sample: ENROLL_CONFIG
    retryable:
      description: Whether the same task, later and unchanged, may succeed without anyone doing anything.
      type: bool
      sample: false
    hint:
      description: What to do next.
      type: str
      sample: correct config.yaml, or leave the option out so that config.yaml decides
"""
