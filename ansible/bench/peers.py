"""Part peers: other programs for the same job, as peerlab.py starts them."""

import os
import pathlib
import statistics
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


def in_turn(ours, peer, runs, sides):
    """Samples of both, one after the other; what a daemon did for all of a peer's commands is shared out among them."""
    pairs, worked = [], 0
    for number in range(runs):
        mine, theirs = (sides(one, number) for one in (ours, peer))
        mine, before = measure(ours, *mine), spent(peer.helper)
        pairs.append((mine, measure(peer, *theirs)))
        worked += spent(peer.helper) - before
    return [(mine, (wall, cpu + worked / runs)) for mine, (wall, cpu) in pairs]


def compare(title, pairs):
    """A row: the peer's times, and what they are of ours in the same round."""
    cells = [title]
    for side in (1, 0):
        cells += report.spread([theirs[side] for _, theirs in pairs], "ms", 1)
        ratios = [theirs[side] / mine[side] for mine, theirs in pairs]
        cells.append("%.1f (%.1f to %.1f)" % (statistics.median(ratios), *report.percentiles(ratios)))
    return cells


def own(title, pairs):
    """The row of ours, by all rounds with all peers."""
    cells = [title]
    for side in (1, 0):
        cells += [*report.spread([mine[side] for mine, _ in pairs], "ms", 1), "1.0"]
    return cells


def figures(here):
    """Each peer with its two lists of samples, and what could not be measured."""
    ours, found, missing = peerlab.ours(here), [], []
    runs, number = report.count("PEER_RUNS", 12), 0
    for name, start in peerlab.PEERS.items():
        try:
            peer = start(here)
        except peerlab.Missing as reason:
            missing.append((name, reason))
            continue
        nothing = in_turn(ours, peer, runs, lambda one, _: ([one.nothing], one.status))
        first = in_turn(ours, peer, runs, lambda one, n: (one.first(number + n + 1),))
        found.append((peer, nothing, first))
        number += runs
    return ours, found, missing, runs


def held(peer):
    """A row: what is on the host all the time."""
    stays = "%.0f MB" % memory(peer.agent) if peer.agent else "0"
    environment = ["%s=%s" % one for one in peer.environment.items()]
    peak = process.peak("/usr/bin/env", *environment, *map(str, peer.nothing))
    return peer.name, peer.stays, stays, "%.0f MB" % peak, "%.1f MB" % peer.disk, "%.1f MB" % peer.needs


def peers():
    with lab.Lab() as here:
        ours, found, missing, runs = figures(here)
        everyone = [ours] + [peer for peer, _, _ in found]
        on_host = [held(peer) for peer in everyone]
        served = [(peer.server[0], "%.0f MB" % memory(peer.server[1]), "%.1f MB" % peer.server[2]) for peer in everyone if peer.server]
    text = ""
    for title, side in (("Nothing to do", 1), ("First certificate", 2)):
        head = (title, "CPU time", "10th to 90th percentile", "/ ours", "Wall time", "10th to 90th percentile", "/ ours")
        rows = [own(ours.titles[side - 1], [pair for one in found for pair in one[side]])] if found else []
        text += report.table(head, rows + [compare(one[0].titles[side - 1], one[side]) for one in found]) + "\n"
    text += report.table(("On the host", "What stays", "Its memory", "Peak, nothing to do", "On disk", "With what it needs"), on_host) + "\n"
    text += report.table(("On the server", "Memory", "On disk, with what it needs"), served) + "\n"
    text += report.table(("Nothing to do", "Checks", "Does not check", "First certificate is"), [(p.name, p.checks, p.unchecked, p.obtains) for p in everyone])
    text += NOTE % runs
    text += "".join("\n%s: not measured: %s\n" % one for one in missing)
    return {"peers": text}


NOTE = """
%d runs of each, each in turn with ours; a ratio is of one such pair, with its 10th and 90th percentile. Commands of several steps are added
up. What makes a token or a ticket runs elsewhere and is in no figure; what the servers do is in the wall time only. certmonger's daemon works
for `getcert`, so its CPU time is added, the same share to each run. Memory is what is resident of the process and those below it, shared pages
once, with one certificate. Sizes are those of the programs, and of Debian's packages: all that the package depends on and a minimal system lacks.

What limits the figures: to start the program is most of step's and icinga2's look and half of puppet's, which starts Ruby; an RSA key is
most of icinga2's first certificate and much of puppet's, and takes another time in each run; `getcert` asks its daemon every 125 ms,
which is most of its wall time. Ours registers, polls, and writes a journal and each file durably; step writes two files, so ours takes
longer. Puppet's server speaks TLS 1.2 only: with 1.3 Debian 12's Ruby waits 30 s before its last request.
"""
