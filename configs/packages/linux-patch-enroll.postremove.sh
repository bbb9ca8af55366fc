reload_systemd
if [ "$(phase "$@")" = purge ]; then
	# The arguments file of the timer; certificates and state are an agent's too.
	rm -f /etc/linux_patch_api/enroll.json
	if [ ! -e /usr/sbin/linux_patch_api ] && [ ! -e /usr/bin/linux-patch-api ] && [ ! -e /usr/local/sbin/linux_patch_api ]; then
		rm -rf /var/lib/linux_patch_enroll /etc/linux_patch_api /var/log/linux_patch_api
	fi
fi
