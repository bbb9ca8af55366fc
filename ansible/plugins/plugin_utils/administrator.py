# Copyright: (c) 2026, The linux_patch enroll authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options by which the modules on the controller reach the manager."""

from __future__ import annotations

# make options: administrator (from internal/admin; do not edit)
# A module_defaults for the group gives them to all its modules.
SHARED = frozenset((
    "manager_url",
    "manager_ca_path",
    "manager_ca_pem",
    "manager_ca_fingerprint",
    "proxy_url",
    "username",
    "password",
    "totp_secret",
    "totp_code",
    "access_token",
    "audit_path",
))
# Their values stay out of everything that is shown.
SECRETS = frozenset((
    "proxy_url",
    "password",
    "totp_secret",
    "totp_code",
    "access_token",
))
# make options: end
