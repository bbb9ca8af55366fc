# shellcheck shell=sh
# shellcheck disable=SC2154,SC2034 # cached.py sets and joins what is missing here
# shellcheck disable=SC2012 # names with blanks are refused, and busybox's find prints no owners
#
# Looks for the program on the host. Before this stand, by cached.py: nonce, roots,
# others and program, the function known, which takes what uname says and sets arch,
# size, short and sha256 of the build for it, and the function start.
#
# This is POSIX sh without the tools that busybox lacks. cached.py joins its lines
# with blanks, because a csh takes one line only, so each ends as it must there.

# The nonce is a number of this task's own, so that nothing else on the output can
# say such a line.
say() { printf "linux_patch %s %s\n" "$nonce" "$*"; };

# Arguments on a terminal would be echoed, and would have no end.
[ ! -t 0 ] || { say terminal; exit 1; };
known "$(uname -s -m)" || { say other; exit 1; };

# The cache, named by what it really is: a link above it is resolved, one in its
# place is not.
me=$(id -u);
dir=$others;
[ "$me" != 0 ] || dir=$roots;
parent=$(cd -P "${dir%/*}/" && pwd) || { say unsafe; exit 1; };
dir=${parent%/}/${dir##*/};
# A blank would spoil what is read from ls below.
case $dir in *[!A-Za-z0-9_./@+-]*) say unsafe; exit 1;; esac;
file=$dir/$program-$short-linux-$arch;

# The cache and every directory above it are the positional parameters.
up=$dir;
set -- /;
while [ -n "$up" ]; do set -- "$@" "$up"; up=${up%/*}; done;

# Reads what `ls -ldn` says of them, the one portable way to owner, mode and size.
# Names are last on its lines. With an ACL, the mode's group part is the most that
# any entry of it grants.
# 0: the program may run. 1: it is not there, or not as it should be. 2: someone
# else may write the cache. 3: a directory is missing.
check() {
  left=$1; verdict=1;
  while read -r mode x owner x bytes rest; do
    case ${rest##* } in
      "$file") case $mode in -rwx------*) [ "$owner $bytes" != "$me $size" ] || verdict=0;; esac;;
      *)
        case $mode in d????-??-*) ;; *) return 2;; esac;
        case $owner in 0 | "$me") ;; *) return 2;; esac;
        left=$((left - 1));;
    esac;
  done;
  [ "$left" = 0 ] || return 3;
  return $verdict;
};
# What it returned is what the file that follows looks at.
LC_ALL=C ls -ldn "$@" "$file" 2>/dev/null | check $#;
