"""Makes completions of what a program says of itself.

completions.py PROGRAM DIRECTORY
    runs PROGRAM --help and writes NAME.bash, NAME.zsh and NAME.fish

The help is the one source: lines of the form "  --option ARGUMENT   text".
"""

import os
import re
import subprocess
import sys

OPTION = re.compile(r"^  (--[a-z-]+)(?: ([A-Z][A-Z0-9:|-]*|[A-Z]+:[A-Z]+))?(?:, (--[a-z-]+))?(?:  +(.*))?$")
FILES = {"FILE", "FILE|-", "DIR"}


def options(text):
    """Yields [flags, argument, words] of each option, in the order of the help."""
    found = []
    for line in text.splitlines():
        match = OPTION.match(line)
        if match:
            flags = [flag for flag in (match[1], match[3]) if flag]
            found.append([flags, match[2] or "", [match[4]] if match[4] else []])
        elif found and line.startswith(" " * 20):
            found[-1][2].append(line.strip())
        elif found and line.strip() and not line.startswith(" "):
            found.append(None)
    return [o for o in found if o]


def bash(name, found):
    flags = " ".join(flag for o in found for flag in o[0])
    files = "|".join(o[0][0] for o in found if o[1] in FILES) or "-"
    return """# bash completion for %(name)s
_%(name)s() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	case $prev in
	%(files)s) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	esac
	case $cur in
	-*) mapfile -t COMPREPLY < <(compgen -W "%(flags)s" -- "$cur") ;;
	*) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	esac
}
complete -o filenames -F _%(name)s %(name)s
""" % {"name": name, "flags": flags, "files": files}


def zsh(name, found):
    def spec(flag, argument, words):
        text = " ".join(words).replace("'", "").replace("[", "(").replace("]", ")").replace(":", ";")
        return "  '%s[%s]%s'" % (flag, text, ":%s:_files" % argument.lower() if argument in FILES else ":value:" if argument else "")

    lines = [spec(flag, o[1], o[2]) for o in found for flag in o[0]]
    return "#compdef %s\n_arguments \\\n%s \\\n  '*:file:_files'\n" % (name, " \\\n".join(lines))


def fish(name, found):
    lines = []
    for flags, argument, words in found:
        for flag in flags:
            how = " -r -F" if argument in FILES else " -x" if argument else ""
            text = " ".join(words).replace("\\", "").replace("'", "")
            lines.append("complete -c %s -l %s%s -d '%s'" % (name, flag[2:], how, text))
    return "\n".join(lines) + "\n"


def main(program, directory):
    name = os.path.basename(program)
    text = subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout
    found = options(text)
    if not found:
        sys.exit("%s --help names no option in the form that is known here" % program)
    for ending, content in (
        ("bash", bash(name, found)),
        ("zsh", zsh(name, found)),
        ("fish", fish(name, found)),
    ):
        with open(os.path.join(directory, name + "." + ending), "w", encoding="utf-8") as file:
            file.write(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
