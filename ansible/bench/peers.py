"""Part peers: other programs for the same job, as peerlab.py starts them."""

import itertools
import os
import pathlib
import sys
import time

import lab
import peerlab
import process
import report

TICK = 1e3 / os.sysconf("SC_CLK_TCK")


def family(pid):
    """A process and all below it."""
    children = [child for task in pathlib.Path("/proc/%d/task" % pid).iterdir() for child in (task / "children").read_text().split()]
    return [pid] + [one for child in children for one in family(int(child))]


def field(pid, file, name):
    lines = pathlib.Path("/proc/%d" % pid, file).read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name + ":"))) / 1024


def memory(pid):
    """MB resident of a process and those below it; what these share counts once."""
    all_of_it = family(pid)
    return sum(field(one, "smaps_rollup", "Pss_Anon") for one in all_of_it) + max(field(one, "status", "RssFile") for one in all_of_it)


def spent(pid):
    """CPU time in ms that a process and its former children took."""
    return sum(map(int, pathlib.Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()[11:15])) * TICK if pid else 0


def measure(peer, commands, status=0):
    """Runs commands one after the other; returns their wall and CPU time in ms."""
    environment, wall, cpu = dict(os.environ, **peer.environment), 0, 0
    null = os.open(os.devnull, os.O_RDWR)
    for command in commands:
        command, start = [str(word) for word in command], time.perf_counter()
        child = os.posix_spawn(command[0], command, environment, file_actions=[(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)])
        _, ended, usage = os.wait4(child, 0)
        wall += (time.perf_counter() - start) * 1e3
        cpu += (usage.ru_utime + usage.ru_stime) * 1e3
        if os.waitstatus_to_exitcode(ended) != status:
            sys.exit("%s ended with status %d, not %d" % (" ".join(command[:3]), os.waitstatus_to_exitcode(ended), status))
    os.close(null)
    return wall, cpu


# What is measured of a command, and its place in a sample.
SIDES = {"CPU time": 1, "wall time": 0}


def in_turn(ours, peer, runs, sides):
    """Times of both, one after the other, by program and side; what a daemon did for all of a peer's commands is shared out among them."""
    pairs, worked = [], 0
    for _ in range(runs):
        mine, theirs = (sides(one) for one in (ours, peer))
        mine, before = measure(ours, *mine), spent(peer.helper)
        pairs.append((mine, measure(peer, *theirs)))
        worked += spent(peer.helper) - before
    found = {("ours", side): [mine[n] for mine, _ in pairs] for side, n in SIDES.items()}
    found.update({("theirs", side): [theirs[n] for _, theirs in pairs] for side, n in SIDES.items()})
    found["theirs", "CPU time"] = [cpu + worked / runs for cpu in found["theirs", "CPU time"]]
    return found


def compared(here):
    """Each peer with its times for both commands, and what could not be measured."""
    ours, found, missing, numbers = peerlab.ours(here), [], [], itertools.count(1)

    def nothing(one):
        return [one.nothing], one.status

    def first(one):
        return (one.first(next(numbers)),)

    for name, start in peerlab.PEERS.items():
        try:
            peer = start(here)
        except peerlab.Missing as reason:
            missing.append((name, reason))
            continue
        count = report.count("PEER_RUNS", 12)
        found.append((peer, [lab.both(lambda runs, peer=peer, sides=sides: in_turn(ours, peer, runs, sides), count) for sides in (nothing, first)]))
    return ours, found, missing


def times(title, quiet, who):
    return [title] + [cell for side in SIDES for cell in report.spread(quiet[who, side], "ms", 1)]


def own(title, found, job):
    """The row of ours, by all rounds with all peers."""
    return times(title, {key: [one for _, jobs in found for one in jobs[job][0][key]] for key in found[0][1][job][0]}, "ours")


def held(peer):
    """A row: what is on the host all the time."""
    stays = "%.0f MB" % memory(peer.agent) if peer.agent else "0"
    environment = ["%s=%s" % one for one in peer.environment.items()]
    peak = process.peak("/usr/bin/env", *environment, *map(str, peer.nothing))
    return peer.name, peer.stays, stays, "%.0f MB" % peak, "%.1f MB" % peer.disk, "%.1f MB" % peer.needs


def peers():
    with lab.Lab() as here:
        ours, found, missing = compared(here)
        everyone = [ours] + [peer for peer, _ in found]
        on_host = [held(peer) for peer in everyone]
        served = [(peer.server[0], "%.0f MB" % memory(peer.server[1]), "%.1f MB" % peer.server[2]) for peer in everyone if peer.server]
    text, listed = "", []
    for job, title in enumerate(("Nothing to do", "First certificate") if found else ()):
        rows = [times(peer.titles[job], jobs[job][0], "theirs") for peer, jobs in found]
        text += report.table((title, "CPU time", "10th to 90th percentile", "Wall time", "10th to 90th percentile"), [own(ours.titles[job], found, job)] + rows) + "\n"
        listed += [report.ratio(jobs[job], ("theirs", side), ("ours", side), "%s, %s" % (peer.titles[job], side)) for peer, jobs in found for side in SIDES]
    if listed:
        text += "What each takes beside ours:\n\n" + report.ratios(listed) + "\n"
    text += report.table(("On the host", "What stays", "Its memory", "Peak, nothing to do", "On disk", "With what it needs"), on_host) + "\n"
    text += report.table(("On the server", "Memory", "On disk, with what it needs"), served) + "\n"
    text += report.table(("Nothing to do", "Checks", "Does not check", "First certificate is"), [(p.name, p.checks, p.unchecked, p.obtains) for p in everyone])
    if found:
        text += NOTE % report.rounds(found[0][1][0], ("ours", "CPU time"))
    text += "".join("\n%s: not measured: %s\n" % one for one in missing)
    return {"peers": text}


NOTE = """
%s, with each program and ours in turn. Commands of several steps are added up. What makes a token or a
ticket runs elsewhere and is in no figure; what the servers do is in the wall time only. certmonger's daemon works for `getcert`, so its CPU time
is added, the same share to each run. Memory is what is resident of the process and those below it, shared pages once, with one certificate. Sizes
are those of the programs, and of Debian's packages: all that the package depends on and a minimal system lacks.

What limits the figures: to start the program is most of step's and icinga2's look and half of puppet's, which starts Ruby; an RSA key is
most of icinga2's first certificate and much of puppet's, and takes another time in each run; `getcert` asks its daemon every 125 ms,
which is most of its wall time. Ours registers, polls, and writes a journal and each file durably; step writes two files, so ours takes
longer. Puppet's server speaks TLS 1.2 only: with 1.3 Debian 12's Ruby waits 30 s before its last request.
"""
