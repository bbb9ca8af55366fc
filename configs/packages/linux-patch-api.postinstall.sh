reload_systemd
ready=true
checked=$(/usr/sbin/linux_patch_api --check-config 2>&1) || ready=false
case $(phase "$@") in
upgrade)
	if [ "$ready" = false ]; then
		say "this version would not start with the configuration as it is, so the agent before it runs on:"
		printf '%s\n' "$checked" >&2
		say "fix that, then: systemctl restart linux-patch-api"
	elif with_systemd; then
		systemctl try-restart linux-patch-api.service || say "restart it: systemctl restart linux-patch-api"
	elif [ -x /sbin/rc-service ]; then
		/sbin/rc-service --ifstarted linux-patch-api restart || say "restart it: rc-service linux-patch-api restart"
	fi
	;;
install)
	say "not started: set enrollment.manager_url in /etc/linux_patch_api/config.yaml (example: /usr/share/doc/linux-patch-api/examples), then"
	if [ -x /sbin/openrc-run ] && ! with_systemd; then
		say "rc-update add linux-patch-api && rc-service linux-patch-api start"
	else
		say "systemctl enable --now linux-patch-api"
	fi
	;;
esac
