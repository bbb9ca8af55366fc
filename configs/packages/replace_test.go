package packages_test

import (
	"strings"
	"testing"
)

// oldPackage makes a package as the deployed agent's is: of the same name, with a
// higher version, its program elsewhere, and a purge that deletes what we share.
const oldPackage = `set -e
mkdir -p old/DEBIAN old/usr/bin old/lib/systemd/system
printf '#!/bin/sh\nexec sleep infinity\n' > old/usr/bin/linux-patch-api
printf '[Service]\nExecStart=/usr/bin/linux-patch-api\n[Install]\nWantedBy=multi-user.target\n' > old/lib/systemd/system/linux-patch-api.service
cat > old/DEBIAN/control <<END
Package: linux-patch-api
Version: 2.5.0
Architecture: all
Maintainer: nobody <nobody@example.com>
Description: stands in for the deployed agent
END
cat > old/DEBIAN/postinst <<'END'
#!/bin/sh -e
grep -q ^linux-patch-api: /etc/passwd || echo linux-patch-api:x:990:990::/:/usr/sbin/nologin >> /etc/passwd
mkdir -p /etc/linux_patch_api/certs
cat > /etc/linux_patch_api/config.yaml <<CONFIG
server: {bind: "0.0.0.0", port: 12443}
tls: {enabled: true, port: 12443, server_key: "/etc/linux_patch_api/certs/server.key"}
jobs: {max_concurrent: 5, timeout_minutes: 30}
rate_limit: {requests_per_minute: 60}
enrollment:
  manager_url: "https://manager.example.com/api/v1/enroll"
  polling_token: "your-enrollment-token-here"
CONFIG
echo 'entries: []' > /etc/linux_patch_api/whitelist.yaml
chown -R linux-patch-api /etc/linux_patch_api
systemctl daemon-reload
systemctl enable --now linux-patch-api
END
printf '#!/bin/sh -e\n[ "$1" != purge ] || rm -rf /etc/linux_patch_api\n' > old/DEBIAN/postrm
chmod 0755 old/usr/bin/linux-patch-api old/DEBIAN/post*
dpkg-deb --build old old.deb
dpkg -i old.deb`

// replaces runs the guide's commands on a host that has the deployed agent and
// was enrolled beside it.
func replaces(t *testing.T, dir string) {
	commands := hostBlocks(t, "docs/DEPLOYMENT_GUIDE.md", 1)[0]
	h := boot(t, "bookworm")
	for _, name := range []string{agent, alone} {
		h.put(deb(t, dir, name), "/root/")
	}
	h.put("build/bin/linux_patch_manager", "/usr/local/bin/linux_patch_manager")
	h.run("cd /root; " + oldPackage)
	h.run("systemd-run --unit manager linux_patch_manager serve --data /root/lab --url-file /root/url --rate-limit off")
	h.waitFor("test -s /root/url")

	out, err := h.try("dpkg -i /root/linux-patch-api_*.deb")
	if err == nil || !strings.Contains(out, "/usr/bin/linux-patch-api is here already") {
		t.Errorf("beside the deployed agent: got %v\n%s\nwant a refusal that names it", err, out)
	}
	h.run("systemctl is-active linux-patch-api && dpkg -i /root/linux-patch-enroll_*.deb")
	h.run(`cd /root; sed -i "s|manager_url:.*|manager_url: \"$(cat url)\"|" /etc/linux_patch_api/config.yaml
		echo '{"manager_ca_path": "/root/lab/ca.pem", "take_ownership": true, "wait": false, "report_ip": "127.0.0.1"}' > args.json
		enrollment args.json && linux_patch_manager approve --data lab --all && enrollment args.json`)
	const key = "sha256sum /etc/linux_patch_api/certs/server.key"
	before := h.run(key)

	h.follow(commands)
	if after := h.run(key); after != before {
		t.Errorf("got the key %s after the guide's commands, want %s as it was", after, before)
	}
	h.wantOutput("enrollment info --exit-code --output text", "enrolled", "nothing to do")
	h.run("test ! -e /usr/bin/linux-patch-api && test -x /usr/sbin/linux_patch_api && systemctl is-enabled linux-patch-api")
	h.wantOutput("dpkg-query --show --showformat '${db:Status-Abbrev}${Version}' linux-patch-api", "ii 0.")
}
