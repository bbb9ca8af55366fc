# shellcheck shell=sh
# shellcheck disable=SC2034 # cached_upload.sh uses it; cached.py joins these files
#
# The rest of the input is read also where it is of no use: a controller that
# cannot deliver it takes the host for unreachable.
trap "cat >/dev/null" EXIT;
# The first line are the arguments: a shell takes no byte more of a stream than a
# line has.
IFS= read -r arguments;
