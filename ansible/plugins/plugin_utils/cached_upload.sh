# shellcheck shell=sh
# shellcheck disable=SC2154 # it follows cached_read.sh and cached_look.sh, which set them
# shellcheck disable=SC2012 # as in cached_look.sh
#
# Puts the program of the input, compressed, into the cache, and runs it.
verdict=$?;
umask 077;
[ "$verdict" != 3 ] || mkdir "$dir" 2>/dev/null;
LC_ALL=C ls -ldn "$@" | check $#;
[ $? = 1 ] || { say unsafe; exit 1; };

new=$dir/.new.$nonce;
trap "rm -f \"\$new\"; cat >/dev/null" EXIT;
trap "exit 1" HUP INT TERM;
# The hash is computed now, before the first use, and not at each run.
gzip -dc >"$new" && sum=$(sha256sum <"$new") && [ "${sum%% *}" = "$sha256" ] && chmod 0700 "$new" && mv -f "$new" "$file" || exit 1;

# Builds that this one takes the place of.
for old in "$dir/$program"-*-linux-"$arch"; do [ "$old" = "$file" ] || rm -f "$old"; done;
# Of an upload that was cut off; a younger one may be under way.
find "$dir" -name ".new.*" -mtime +0 -exec rm -f {} \; 2>/dev/null;
cat >/dev/null;
trap - EXIT HUP INT TERM;

# Where printf is no part of the shell, the arguments would stand in a command
# line: such a host is asked to run the program in a second command.
case $(command -v printf) in
  printf) say run; printf %s "$arguments" | start "$file" -;;
  *) say uploaded;;
esac
