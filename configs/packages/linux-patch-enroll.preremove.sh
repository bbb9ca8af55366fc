if [ "$(phase "$@")" = remove ] && with_systemd; then
	systemctl disable --now linux-patch-enroll.timer || true
fi
