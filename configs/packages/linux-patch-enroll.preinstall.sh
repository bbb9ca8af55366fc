if [ "$(phase "$@")" = install ]; then
	refuse_foreign /usr/sbin/enrollment /usr/lib/systemd/system/linux-patch-enroll.service /usr/lib/systemd/system/linux-patch-enroll.timer \
		/usr/lib/systemd/system/linux-patch-metrics.service /usr/lib/systemd/system/linux-patch-metrics.timer
fi
