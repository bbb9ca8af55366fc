#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The documentation of the module. The module itself is a static binary, which
# the action plugin of the same name transfers and runs.

from __future__ import annotations

DOCUMENTATION = r"""
module: enrollment
short_description: Enroll a Linux host at a linux_patch_manager
version_added: 0.1.0
description:
  - Brings a host under the management of a linux_patch_manager without copying certificates by hand.
  - The host says who it is, waits until an administrator approves, receives its CA, certificate, key and CRL, verifies
    them, puts them in place all at once, and adds the manager's address to the whitelist of the C(linux_patch_api) daemon.
  - On a host that is enrolled already it makes no request to the manager and changes nothing.
  - A polling token or a bundle that was received is on disk before anything else happens. A run that was interrupted, even
    by a power failure, is finished by the next one.
  - The host needs no Python. One static program is transferred to it for the task, for C(x86_64) or C(aarch64).
requirements:
  - Linux on x86_64 or aarch64, on the host.
options:
  # make options: module (from internal/options; do not edit)
  state:
    description:
      - The state that the host must be in.
      - >-
        With V(registered) the request is made and its token stored. The task never waits for an approval, and never
        fetches an approved bundle.
      - >-
        With V(enrolled) the host registers, waits for the approval if O(wait) is V(true), and installs the
        certificates.
      - >-
        With V(absent) everything that enrollment installed is removed. This is certificates, key, CRL, token, stored
        bundle, and the whitelist entry if enrollment added it. Certificates, key and CRL are also removed from paths
        that config.yaml no longer names. No request is made. An administrator must remove the host at the manager.
    type: str
    choices:
      - registered
      - enrolled
      - absent
    default: enrolled
  manager_url:
    description:
      - Where the manager is, as C(https://host[:port][/base]).
      - A trailing C(/api/v1) or C(/api/v1/enroll) is accepted. User info, a query and a fragment are refused.
      - Plain C(http) is accepted to a loopback address only.
      - The default is C(enrollment.manager_url) of O(config_path).
    type: str
  config_path:
    description:
      - >-
        The configuration of the agent C(linux_patch_api), from which the defaults of many options here are read. It may
        be missing.
    type: path
    default: /etc/linux_patch_api/config.yaml
  ca_cert_path:
    description:
      - Where the CA's certificate goes.
      - The default is C(tls.ca_cert) of O(config_path), else V(/etc/linux_patch_api/certs/ca.pem).
      - >-
        This and the other paths must agree with an existing O(config_path). The agent would not find the file
        otherwise, so another value fails with V(ENROLL_CONFIG).
    type: path
  server_cert_path:
    description:
      - Where the host's certificate goes, followed by the intermediates, if any.
      - The default is C(tls.server_cert) of O(config_path), else V(/etc/linux_patch_api/certs/server.pem).
    type: path
  server_key_path:
    description:
      - Where the private key goes.
      - The default is C(tls.server_key) of O(config_path), else V(/etc/linux_patch_api/certs/server.key.pem).
    type: path
  crl_path:
    description:
      - Where the CA's revocation list goes, if the manager sends one.
      - The default is C(tls.crl_path) of O(config_path), else V(/etc/linux_patch_api/certs/crl.pem).
    type: path
  whitelist_path:
    description:
      - The whitelist of the agent. It is created if it is missing. Its content, including comments, is kept.
      - The default is C(whitelist.path) of O(config_path), else V(/etc/linux_patch_api/whitelist.yaml).
    type: path
  state_dir:
    description:
      - Where the token, a bundle that is not yet installed, and the record of what enrollment did are kept.
      - It and every directory above it must belong to root or to the user who runs the task.
    type: path
    default: /var/lib/linux_patch_enroll
  wait:
    description:
      - Whether to wait until an administrator has decided.
      - >-
        With V(false) the manager is asked once, and an undecided request gives RV(state=pending) in the result, which
        is no failure. A fleet then holds no forks while people approve. Run the task again after the approval.
    type: bool
    default: true
  wait_timeout:
    description:
      - >-
        How long to wait for the approval, in seconds, or with one of the units V(s), V(m), V(h), V(d), V(w). V(0) means
        no limit.
      - >-
        When it has passed, the task fails with V(ENROLL_TIMEOUT). The request and its token stay, and the next run
        continues with them. An answer in transit is still waited for, at most 30 seconds.
    type: str
    default: "0"
  polling_interval_seconds:
    description:
      - >-
        Seconds between two polls, with a random variation of ten percent. Values outside of 1 to 270 are clamped, with
        a warning, because managers keep an approved bundle for a short time only.
      - The default is C(enrollment.polling_interval_seconds) of O(config_path), else V(60).
    type: int
  max_poll_attempts:
    description:
      - How often to poll before the task fails with V(ENROLL_TIMEOUT). V(0) means no limit.
      - The default is C(enrollment.max_poll_attempts) of O(config_path), else V(0).
    type: int
  manager_ca_path:
    description:
      - A file on the host with the CA that the manager's HTTPS certificate must come from, instead of the system's CAs.
      - Mutually exclusive with O(manager_ca_pem).
    type: path
  manager_ca_pem:
    description:
      - The same as O(manager_ca_path), as PEM text.
      - It appears in no output.
    type: str
  manager_ca_fingerprint:
    description:
      - >-
        The SHA-256 fingerprint of the certificate that the manager presents, or of a CA that it presents with it.
        Colons are allowed.
      - A CA that is pinned so is the only root of a full verification, host name included.
    type: str
  bundle_ca_fingerprint:
    description:
      - The SHA-256 fingerprint of the CA that the received bundle must bring.
    type: str
  allow_ca_change:
    description:
      - A host that is enrolled refuses a bundle of another CA, unless this is V(true).
    type: bool
    default: false
  bundle_path:
    description:
      - >-
        A bundle that was copied to the host by hand, for networks without a connection to the manager. No request is
        made.
      - Needs O(bundle_ca_fingerprint), and O(manager_ip) if O(whitelist_manager) is V(true).
    type: path
  insecure:
    description:
      - >-
        Do not verify the manager's HTTPS certificate. Anyone who intercepts the connection can then install their own
        keys on the host.
      - Each use is a warning in the result and a line in the audit log. Prefer O(manager_ca_fingerprint).
    type: bool
    default: false
  fqdn:
    description:
      - The name that the host reports. By default it is read from the host, and is never V(localhost).
    type: str
  report_ip:
    description:
      - The address that the host reports, which the manager will call.
      - >-
        The default is C(enrollment.report_ip) of O(config_path), else that of O(report_interface), else the address
        from which the host reaches the manager.
    type: str
  report_interface:
    description:
      - The network interface whose address the host reports.
      - The default is C(enrollment.report_interface) of O(config_path).
    type: str
  manager_ip:
    description:
      - The address that goes into the whitelist. By default it is the address that delivered the bundle.
      - Required if the manager is reached through a proxy, because the connection then shows only the proxy.
    type: str
  proxy_url:
    description:
      - The HTTP proxy for requests to the manager. By default E(HTTPS_PROXY), E(HTTP_PROXY) and E(NO_PROXY) apply.
      - It appears in no output.
    type: str
  whitelist_manager:
    description:
      - Whether to add the manager's address to the whitelist. An entry or network that covers it already is enough.
    type: bool
    default: true
  config_manager_url:
    description:
      - >-
        Whether to write C(enrollment.manager_url) to O(config_path) if it is missing there or a placeholder. Deployed
        agents refresh their CRL and package repository from that URL, and do neither without it.
      - A URL of another manager is kept. The file is never created. O(state=absent) undoes the edit.
    type: bool
    default: true
    version_added: 0.2.0
  repo_config_manage:
    description:
      - >-
        Whether to install the package repository that a bundle may name. Needs O(repo_key_fingerprint). Without it the
        agent fetches the repository from the manager.
      - >-
        Only a repository for APT with V(https) URIs is accepted. Its files are written by this module, and only the key
        of O(repo_key_fingerprint) may sign it. Options such as C(trusted) and the manager's path for the key are
        ignored. If the repository cannot be used, that is a warning, and the host is enrolled.
      - Only a run that receives a bundle installs it. O(state=absent) removes it.
    type: bool
    default: false
    version_added: 0.2.0
  repo_key_fingerprint:
    description:
      - >-
        The fingerprint of the OpenPGP key that signs the repository, 40 hexadecimal digits as C(gpg --show-keys) prints
        them.
    type: str
    version_added: 0.2.0
  repo_directory:
    description:
      - >-
        Where APT's files are. C(keyrings/linux-patch-enroll.gpg) and C(sources.list.d/linux-patch-enroll.sources) in it
        are written.
    type: path
    default: /etc/apt
    version_added: 0.2.0
  owner:
    description:
      - >-
        The owner of the files, as a name or number. By default the owner that a file has, else the user who runs the
        task.
    type: str
  group:
    description:
      - >-
        The group of the files, as a name or number. By default the group that a file has, else that of the user who
        runs the task.
    type: str
  cert_mode:
    description:
      - >-
        The mode of the certificates and the CRL, as V('0644') or V(u=rw,g=r,o=r). By default the mode that a file has,
        without the right of others to write, else V('0644').
    type: raw
  key_mode:
    description:
      - >-
        The mode of the key. A mode that gives others access is refused. By default the mode that the key has, if others
        have no access, else V('0600').
    type: raw
  backup:
    description:
      - >-
        Whether to keep what is replaced, as C(NAME.TIMESTAMP~) beside the file. Of the key only the latest is kept, as
        closed as the key itself.
    type: bool
    default: true
  take_ownership:
    description:
      - >-
        Make root the owner of files that others may write, if a run would be refused because of them. The installer of
        a deployed agent leaves a host in that state, because it gives C(/etc/linux_patch_api) to its own user.
      - >-
        The directories come first, then each file is replaced by a copy; config.yaml comes last. Hard links, symbolic
        links and special files are refused. So are paths that such a config.yaml sets to anything but where the
        deployed agent has them, unless the option for the path names the same. O(state_dir) is never taken.
      - >-
        The warnings of the result list everything that becomes trusted, such as the manager's URL, the CA and the
        entries of the whitelist. Read them in check mode first. If no file needs it, the option changes nothing.
    type: bool
    default: false
  force:
    description:
      - Enroll again although the certificates are valid. A request in progress is still resumed.
    type: bool
    default: false
  renew_before:
    description:
      - >-
        Enroll again when the certificate expires within this time, in seconds, or with one of the units V(s), V(m),
        V(h), V(d), V(w). The old files stay in use until the new ones are installed.
      - >-
        Deployed managers refuse to approve a host that exists. Its certificates can be re-issued there, or an
        administrator removes it there first.
      - The default is C(enrollment.cert_renewal_threshold_days) of O(config_path), else V(7d).
    type: str
  strict_identity:
    description:
      - >-
        Whether a certificate that does not name the host, or is not meant for servers, is a failure. By default it is a
        warning.
    type: bool
    default: false
  token_storage:
    description:
      - Where the polling token is kept. It is always in O(state_dir), readable by its owner only.
      - >-
        With V(config) it is written to C(enrollment.polling_token) of O(config_path) too, so that an agent can continue
        the request, but only if others cannot read that file. It is removed at the end.
      - With V(state_dir) O(config_path) is not changed. Use it if a template or another tool writes that file.
    type: str
    choices:
      - config
      - state_dir
    default: config
  lock_timeout:
    description:
      - How long to wait for other writers of the whitelist and of O(config_path), in seconds or with a unit.
    type: str
    default: 30s
  # make options: end
attributes:
  check_mode:
    description: Can run in check mode and say what it would change, without changing it.
    support: full
    details:
      - In check mode nothing is written and no request is made, because asking for an approved bundle would consume it. What only
        the manager can tell, such as the certificate to come, is described by a warning.
  diff_mode:
    description: Says with C(--diff) what changed, or would change.
    support: full
    details:
      - A certificate appears as its facts and its PEM text. Of the key nothing but the fingerprint of its public half appears.
  idempotent:
    description: Run twice in a row, outside of check mode, the second run changes nothing.
    support: full
    details:
      - Except with O(force=true).
  async:
    description: Can be run with the C(async) keyword.
    support: partial
    details:
      - Ansible's async needs Python on the host. Where there is none, and for a C(become_user) who is neither root nor who logs in,
        it is refused, and nothing is transferred.
  safe_file_operations:
    description: Replaces files so that no reader sees half of one, and no crash leaves one.
    support: full
    details:
      - CA, certificate, key and CRL are replaced as one set.
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
  - The role P(linux_patch.api.enroll#role) has checks, C(config.yaml), the agent and its service around this module.
  - Needs to be run by root, or by another user who may write the files. Use C(become).
  - A failed result has an error code, such as V(ENROLL_DENIED). The collection's README lists them.
  - The C(environment) of a task is shown by Ansible at C(-vvv). Give a proxy with credentials by O(proxy_url).
seealso:
  - module: linux_patch.api.enrollment_info
    description: How the enrollment stands, without changing anything.
  - name: Deployment guide
    description: One host, a fleet, images, proxies, networks without a way to the manager, and troubleshooting.
    link: https://github.com/linux-patch/enroll/blob/main/docs/DEPLOYMENT_GUIDE.md
  - name: Specification
    description: States, guarantees, and every error code.
    link: https://github.com/linux-patch/enroll/blob/main/docs/SPEC.md
author:
  - The linux_patch enroll authors (@linux-patch)
"""

EXAMPLES = r"""
- name: Enroll the host, and wait up to a day for the approval
  linux_patch.api.enrollment:
    manager_url: https://manager.example.com
    manager_ca_path: /etc/ssl/certs/company-ca.pem
    wait_timeout: 1d

- name: Register all hosts of a fleet, without waiting
  linux_patch.api.enrollment:
    state: registered
    manager_url: https://manager.example.com
    manager_ca_fingerprint: 7d:5f:8a:10:c1:3b:3e:92:64:11:d0:5c:ae:4f:77:20:9b:e8:02:6a:3d:c9:58:b1:fe:04:96:2c:83:da:61:47

- name: Take what has been approved by now
  linux_patch.api.enrollment:
    manager_url: https://manager.example.com
    manager_ca_fingerprint: "{{ manager_fingerprint }}"
    wait: false
  register: enrollment

- name: Say who is still waiting
  ansible.builtin.debug:
    msg: "approve {{ enrollment.fqdn }} ({{ enrollment.machine_id }})"
  when: enrollment.state == 'pending'

- name: Enroll through a proxy, with the manager's CA from the vault
  linux_patch.api.enrollment:
    manager_url: https://manager.example.com
    manager_ca_pem: "{{ vault_manager_ca }}"
    proxy_url: "{{ vault_proxy_url }}"
    manager_ip: 192.0.2.10

- name: Provision a host that cannot reach the manager, from a bundle that was copied to it
  linux_patch.api.enrollment:
    bundle_path: /media/usb/bundle.json
    bundle_ca_fingerprint: "{{ company_ca_fingerprint }}"
    manager_ip: 192.0.2.10

- name: Take the enrollment back
  linux_patch.api.enrollment:
    state: absent
"""

RETURN = r"""
msg:
  description: What happened, or what went wrong, as a sentence.
  returned: always
  type: str
  sample: "the request is made; an administrator of https://manager.example.com has to approve it"
state:
  description:
    - How far the enrollment has come, one of V(absent), V(registered), V(pending), V(enrolled), V(foreign), V(denied) and V(request_expired).
    - V(foreign) is a valid certificate that neither an enrollment nor an option accounts for. Nothing is changed then; RV(msg) says
      how to confirm it or to take it over.
    - V(request_expired) is the end of a request, not of a certificate.
  returned: unless the task failed before the host was looked at
  type: str
  sample: enrolled
actions:
  description: What was done, in order. In check mode, what would be done.
  returned: always
  type: list
  elements: str
  sample:
    - create /etc/linux_patch_api/certs/server.pem
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
      description: The address that delivered the bundle, or O(manager_ip). Empty before that.
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
attempts:
  description: How many questions for the decision the manager answered in this run.
  returned: always
  type: int
  sample: 1
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
backup_files:
  description: The backups that this run made.
  returned: always
  type: list
  elements: str
  sample: ["/etc/linux_patch_api/whitelist.yaml.20261123T180300Z~"]
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
      description: A name that does not change, such as V(ENROLL_UNREACHABLE).
      type: str
      sample: ENROLL_UNREACHABLE
    retryable:
      description: Whether the same task, later and unchanged, may succeed without anyone doing anything.
      type: bool
      sample: true
    hint:
      description: What to do next.
      type: str
      sample: check the URL, name resolution, the route, firewalls and the proxy
diff:
  description: The difference of each file, with C(--diff).
  returned: with --diff, when something changed or would change
  type: list
  elements: dict
  contains:
    before_header:
      description: The file, its mode and owner before.
      type: str
      sample: /etc/linux_patch_api/whitelist.yaml
    after_header:
      description: The file, its mode and owner after.
      type: str
      sample: /etc/linux_patch_api/whitelist.yaml
    before:
      description: What it was. Of a private key, the fingerprint of its public half.
      type: str
      sample: "entries: []\n"
    after:
      description: What it is now. Of a private key, the fingerprint of its public half.
      type: str
      sample: "entries:\n  - 192.0.2.10\n"
"""
