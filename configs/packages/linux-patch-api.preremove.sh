if [ "$(phase "$@")" = remove ]; then
	if with_systemd; then
		systemctl disable --now linux-patch-api.service || true
	elif [ -x /sbin/rc-service ] && [ -e /etc/init.d/linux-patch-api ]; then
		/sbin/rc-service --ifstarted linux-patch-api stop || true
		/sbin/rc-update --quiet delete linux-patch-api >/dev/null 2>&1 || true
	fi
fi
