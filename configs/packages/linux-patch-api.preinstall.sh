case $(phase "$@") in
install)
	refuse_foreign /usr/sbin/linux_patch_api /usr/local/sbin/linux_patch_api /usr/bin/linux-patch-api \
		/usr/lib/systemd/system/linux-patch-api.service /lib/systemd/system/linux-patch-api.service \
		/etc/systemd/system/linux-patch-api.service /etc/init.d/linux-patch-api
	;;
upgrade)
	# A package of this name that is the deployed agent has its program elsewhere.
	if [ -e /usr/bin/linux-patch-api ]; then
		refuse_foreign /usr/bin/linux-patch-api
	fi
	;;
esac
# What stops this version, as it did not stop 0.1.0.
for path in /etc/linux_patch_api /etc/linux_patch_api/config.yaml /etc/linux_patch_api/whitelist.yaml /etc/linux_patch_api/certs; do
	if others_may_write "$path"; then
		say "$path may be written by others than root: the agent will refuse it. See \"take_ownership\" in the deployment guide"
	fi
done
if [ -x /usr/sbin/linux_patch_api ] && ! checked=$(/usr/sbin/linux_patch_api --check-config 2>&1); then
	say "the installed agent's --check-config says:"
	printf '%s\n' "$checked" >&2
fi
