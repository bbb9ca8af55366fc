# The beginning of each script of the packages; ansible/setup/packages joins them.
# dpkg, rpm, pacman and apk call the scripts with different words: phase() makes
# one of them, "install", "upgrade", "remove" or "purge".
set -eu

# Of the files here only /bin/sh and coreutils are sure to be on a host.
phase() {
	case "$script:${1:-}" in
	preinstall:install | postinstall:1) echo install ;;
	preinstall:upgrade) echo upgrade ;;
	# dpkg names the version before in the second word: it is empty at first.
	postinstall:configure) [ -n "${2:-}" ] && echo upgrade || echo install ;;
	preinstall:1) echo install ;;
	preremove:remove | preremove:0 | postremove:remove | postremove:0) echo remove ;;
	postremove:purge) echo purge ;;
	# rpm counts the packages that are left.
	preinstall:[2-9] | postinstall:[2-9] | preremove:1 | postremove:1) echo upgrade ;;
	preremove:upgrade | postremove:upgrade) echo upgrade ;;
	# pacman gives the new version, and for an upgrade the old one after it; apk
	# gives the version alone.
	preinstall:* | postinstall:*) [ -n "${2:-}" ] && echo upgrade || echo install ;;
	*) echo remove ;;
	esac
}

say() { printf '%s: %s\n' "$package" "$*" >&2; }

with_systemd() { [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; }

reload_systemd() { if with_systemd; then systemctl daemon-reload || true; fi; }

# refuse_foreign FILE...: none of them may be there before the package's own
# first installation.
refuse_foreign() {
	for file in "$@"; do
		[ -e "$file" ] || [ -L "$file" ] || continue
		say "$file is here already and is not this package's: another agent, or one that was installed by hand or by the role enroll"
		say "nothing was changed; remove that agent first, or keep it and do not install this package"
		exit 1
	done
}

# others_may_write PATH: reports whether root would refuse it.
others_may_write() {
	[ -e "$1" ] || return 1
	# shellcheck disable=SC2012 # find has no -printf everywhere; ls -n is POSIX
	entry=$(ls -ldn "$1" | awk '{print $1, $3, $4}')
	mode=${entry%% *}
	rest=${entry#* }
	[ "${rest%% *}" = 0 ] || return 0
	case $mode in ????????w*) return 0 ;; ?????w*) [ "${rest#* }" = 0 ] || return 0 ;; esac
	return 1
}
