package manager

// notProduction is said wherever a person meets this program.
const notProduction = "a reference manager for demo, tests and labs. It is NOT the production manager"

const page = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>linux_patch_manager (reference)</title>
<style>
body { font: 1rem/1.5 sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; color: #222; background: #fff }
code { background: #eee; padding: 0 .2em }
strong { color: #a00 }
</style>
</head>
<body>
<h1>linux_patch_manager</h1>
<p>This is ` + notProduction + `: one administrator, one process,
and a CA key in a file. <strong>Do not let it manage hosts that matter.</strong></p>
<p>Hosts enroll here: they register with <code>POST /api/v1/enroll</code> and ask for their
state at <code>GET /api/v1/enroll/status/…</code> until an administrator has decided.</p>
<p>Administrators work on the machine that runs it: <code>linux_patch_manager list</code>,
<code>approve</code>, <code>deny</code>, <code>hosts</code>. See
<code>linux_patch_manager --help</code>.</p>
<p>The revocation list is at <a href="/api/v1/pki/crl.pem">/api/v1/pki/crl.pem</a>.</p>
</body>
</html>
`
