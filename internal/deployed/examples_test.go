package deployed

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ExampleConfig is what the deployed installer puts at config.yaml.
const ExampleConfig = `server:
  bind: "0.0.0.0"
  port: 12443
tls:
  enabled: true
  port: 12443
  ca_cert: "/etc/linux_patch_api/certs/ca.pem"
  server_cert: "/etc/linux_patch_api/certs/server.pem"
  server_key: "/etc/linux_patch_api/certs/server.key"
jobs:
  max_concurrent: 5
  timeout_minutes: 30
rate_limit:
  requests_per_minute: 60
cache:
  stale_threshold_secs: 300
whitelist:
  path: "/etc/linux_patch_api/whitelist.yaml"
logging:
  level: "info"
  file_path: "/var/log/linux_patch_api/audit.log"
enrollment:
  manager_url: "https://manager.example.com/api/v1/enroll"
  polling_token: "your-enrollment-token-here"
  polling_interval_seconds: 60
`

// Install leaves a directory as the deployed installer leaves
// /etc/linux_patch_api: the example's files, all of it given to the agent's user,
// though the agent runs as root. Paths of the example are put below the
// directory root.
func Install(root string, uid, gid int) error {
	dir := filepath.Join(root, "etc/linux_patch_api")
	if err := os.MkdirAll(filepath.Join(dir, "certs"), 0o755); err != nil {
		return err
	}
	text := strings.NewReplacer(`"/etc/`, `"`+root+`/etc/`, `"/var/`, `"`+root+`/var/`).Replace(ExampleConfig)
	for name, content := range map[string]string{"config.yaml": text, "whitelist.yaml": "entries: []\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o640); err != nil {
			return err
		}
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
}
