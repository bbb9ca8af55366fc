reload_systemd
if [ "$(phase "$@")" = install ]; then
	say "to enroll: write /etc/linux_patch_api/enroll.json (example: /usr/share/doc/linux-patch-enroll/examples), then run"
	say "enrollment /etc/linux_patch_api/enroll.json; where no agent renews: systemctl enable --now linux-patch-enroll.timer"
fi
