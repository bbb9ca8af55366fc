"""What antsibull-changelog leaves to do. It runs with the Python of the lint tools.

changelog.py reopen changelog.yaml VERSION
    takes VERSION out of the releases, and prints the date that it had, or today's
changelog.py plain CHANGELOG.md
    takes out the backslashes that Markdown does not need: people read the file as it is
"""

import datetime
import os
import re
import sys

import yaml

# Those that mean something in the middle of a line keep their backslash.
UNNEEDED = re.compile(r"""(?<=[^\s*])( ?)\\([-.,:;'"()/!?=+&%@$~^])""")
WITHIN_WORD = re.compile(r"(?<=\w)\\_(?=\w)")
CODE = re.compile(r"<code>(.*?)</code>")


def reopen(path, version):
    if not os.path.exists(path):
        return datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    with open(path, encoding="utf-8") as f:
        log = yaml.safe_load(f)
    release = log["releases"].pop(version, {})
    with open(path, "w", encoding="utf-8") as f:
        yaml.safe_dump(log, f)
    return release.get("release_date") or reopen("", version)


def plain(text):
    codes = []

    def keep(found):
        codes.append("`" + re.sub(r"\\(.)", r"\1", found[1]) + "`")
        return "\0"

    text = CODE.sub(keep, text)
    text = WITHIN_WORD.sub("_", UNNEEDED.sub(r"\1\2", text))
    return re.sub("\0", lambda _found: codes.pop(0), text)


if __name__ == "__main__":
    if sys.argv[1] == "reopen":
        print(reopen(sys.argv[2], sys.argv[3]))
    else:
        with open(sys.argv[2], encoding="utf-8") as file:
            rendered = file.read()
        with open(sys.argv[2], "w", encoding="utf-8") as file:
            file.write(plain(rendered))
