reload_systemd
case $(phase "$@") in
remove)
	say "certificates and configuration stay in /etc/linux_patch_api; remove the host at the manager too"
	;;
purge)
	rm -rf /var/log/linux_patch_api /run/linux_patch_api
	# Another agent, or the package linux-patch-enroll, goes on with the rest.
	if [ ! -e /usr/sbin/enrollment ] && [ ! -e /usr/bin/linux-patch-api ] && [ ! -e /usr/local/sbin/linux_patch_api ]; then
		rm -rf /var/lib/linux_patch_enroll /etc/linux_patch_api
	fi
	rm -f /etc/default/linux-patch-api
	;;
esac
