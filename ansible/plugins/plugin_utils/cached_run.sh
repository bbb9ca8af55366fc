# shellcheck shell=sh
# shellcheck disable=SC2154 # it follows cached_look.sh, which sets them
#
# Runs the program with the arguments on standard input, or says what is missing.
case $? in
  0) say run; start "$file" -;;
  2) say unsafe; exit 1;;
  *)
    { command -v gzip && command -v sha256sum; } >/dev/null || { say bare; exit 1; };
    say miss "$arch"; exit 1;;
esac
