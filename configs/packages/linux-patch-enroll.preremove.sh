if [ "$(phase "$@")" = remove ] && with_systemd; then
	systemctl disable --now linux-patch-enroll.timer linux-patch-metrics.timer || true
fi
