package contract

// Event names one line of the audit log.
type Event string

// The audit events.
const (
	EventRequestSent      Event = "enrollment.request_sent"
	EventWaiting          Event = "enrollment.waiting"
	EventApproved         Event = "enrollment.approved"
	EventDenied           Event = "enrollment.denied"
	EventProvisioned      Event = "enrollment.provisioned"
	EventWhitelistChanged Event = "enrollment.whitelist_changed"
	EventMTLS             Event = "enrollment.mtls_started"
	EventRemoved          Event = "enrollment.removed"
	EventOwnershipTaken   Event = "enrollment.ownership_taken"
	EventFailed           Event = "enrollment.failed"
	EventInsecure         Event = "enrollment.insecure"
	EventAdminLogin       Event = "admin.login"
	EventAdminApproved    Event = "admin.approved"
	EventAdminDenied      Event = "admin.denied"
	EventAdminReissued    Event = "admin.reissued"
	EventAdminRemoved     Event = "admin.removed"
)

// Events lists every audit event and when it is written.
var Events = []struct {
	Event   Event
	Meaning string
}{
	{EventRequestSent, "an enrollment request was accepted by the manager and its token is saved"},
	{EventWaiting, "a run with wait is about to ask for the approval of the host that the line names"},
	{EventApproved, "the manager handed out the bundle and it is stored"},
	{EventDenied, "the manager denied the request, or no longer knows it"},
	{EventProvisioned, "certificates, key and CRL were put in place"},
	{EventWhitelistChanged, "the manager's address was added to the whitelist or taken from it"},
	{EventMTLS, "the agent began to listen with mutual TLS"},
	{EventRemoved, "the enrollment was removed"},
	{EventOwnershipTaken, "take_ownership made files root's that another user could write; the line lists what is trusted by that"},
	{EventFailed, "a run failed, with its error code"},
	{EventInsecure, "a run did not verify the manager's HTTPS certificate, as it was told, or asked by http on loopback"},
	{EventAdminLogin, "on the controller: an administrator's account logged in at the manager"},
	{EventAdminApproved, "on the controller: a request was approved, with what proved it"},
	{EventAdminDenied, "on the controller: a request was denied"},
	{EventAdminReissued, "on the controller: a host's certificates were issued anew, which revokes the old ones"},
	{EventAdminRemoved, "on the controller: a host was removed at the manager"},
}
