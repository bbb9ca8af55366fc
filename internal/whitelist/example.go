package whitelist

// Example is what Add makes a missing whitelist from, and what is shipped as
// configs/whitelist.yaml.example. It denies all.
const Example = `# Who may call this host's linux_patch_api, /etc/linux_patch_api/whitelist.yaml
#
# Deny by default: a connection from an address that no entry covers is dropped
# without an answer, before TLS. An empty list lets no one in.
#
# An entry is one of
#   an IP address    "192.0.2.10"
#   a network, CIDR  "192.0.2.0/24"
#   a host name      "manager.example.com"
# in brackets, as below, or one a line:
#
#   entries:
#     - "192.0.2.10"
#     - "198.51.100.0/24"
#
# IPv6 works with the agent of this project alone: other agents ignore an IPv6
# address, and refuse the whole file for an IPv6 network.
#
# Enrollment adds the address of the manager that it got the certificates from,
# unless an address or a network here covers it already (a host name never
# does), and takes out only what it has added. All else in this file stays as it
# is, comments too. Changes are picked up without a restart.
#
# Programs that write this file hold an exclusive flock(2) on whitelist.yaml.lock.

entries: []
`
