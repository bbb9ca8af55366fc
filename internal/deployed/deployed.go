// Package deployed stands in, in tests, for the managers and agents that are in
// use. It is written from what those were seen to do, not from this project's
// client, agent or reference manager, and imports none of them, so that a mistake
// made there is not repeated here. docs/DEPLOYED.md says which versions each part
// stands for.
//
// [ParseConfig] and [ParseWhitelist] read an agent's two files as the deployed
// agent does, and refuse what makes it refuse to start or to let anyone in. Tests
// elsewhere use them too. The rest is for the tests of this package, and in its
// test files:
//
//   - ParseHealth and Poller judge an agent's health answer as a manager does:
//     one missing field leaves the host degraded for ever.
//   - Install leaves an agent's directory as the deployed installer does.
//   - Manager answers enrollment in either dialect: approved bundles once, each
//     machine-id once, errors as they are sent.
//   - Gateway stands in front of a manager and answers with pages of its own.
//   - NewNetwork makes a host with a network of its own, for managers that have
//     IPv4, IPv6 or both, and names that lead nowhere. It needs root.
package deployed
