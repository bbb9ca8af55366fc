"""CPU time by who spent it, as the kernel counts it for each process."""

import os
import pathlib

TICKS = os.sysconf("SC_CLK_TCK")

KINDS = ("connections", "sshd", "commands", "manager")


def _processes():
    """Parent, own seconds, those of ended children, and command line, by process."""
    found = {}
    for directory in pathlib.Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
            line = (directory / "cmdline").read_bytes()
        except OSError:
            continue
        times = [int(field) / TICKS for field in fields[11:15]]
        found[int(directory.name)] = (int(fields[1]), times[0] + times[1], times[2] + times[3], line)
    return found


def _kept(line, work):
    """Whether a process is a connection that ssh keeps, which is no child of Ansible."""
    return b"[mux]" in line and str(work).encode() in line


def connections(work):
    """The processes of the connections with their sockets in a directory."""
    return [pid for pid, (_parent, _own, _ended, line) in _processes().items() if _kept(line, work)]


def now(here):
    """Seconds up to now of what a lab's plays set to work, beside Ansible: it counts its own and that of its ssh."""
    spent = dict.fromkeys(KINDS, 0.0)
    for pid, (parent, own, ended, line) in _processes().items():
        if _kept(line, here.work):
            spent["connections"] += own
        elif pid in here.listeners:
            spent["sshd"] += own + ended
        elif parent in here.listeners:
            spent["sshd"] += own
            spent["commands"] += ended
        elif pid in here.managers:
            spent["manager"] += own + ended
    return spent


def since(here, before):
    after = now(here)
    return {kind: after[kind] - before[kind] for kind in KINDS}
