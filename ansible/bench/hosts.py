"""Part hosts: what many hosts at once cost the controller, and where it goes."""

import os

import lab
import report
import spent
import tasks

KINDS = ("raw", "ours", "ping")
TITLES = {"raw": "`raw: true`", "ours": "ours, converged", "ping": "`ping` with pipelining"}


LASTING = lab.SSH_ARGS.replace("60s", "900s")
UNCOMPRESSED = dict(lab.UNCOMPRESSED, ansible_ssh_args=LASTING.replace("-C ", ""))


def task(kind, url, ca):
    if kind == "raw":
        return tasks.RAW
    if kind == "ping":
        return tasks.PING
    return {"name": "ours", "linux_patch.api.enrollment": lab.options(tasks.OURS, url, ca, fqdn="{{ inventory_hostname }}.example.com", report_ip="{{ ip }}")}


# Plays of which the whole is told, with the start of the play: by which tasks, and whether by connections that do not compress.
WHOLE = (
    ("connect", "`raw: true`, first connection"),
    ("first", "ours, first enrollment and upload"),
    ("converged", "ours, converged"),
    ("again", "ours, converged, upload"),
    ("uncompressed", "the same, without ssh's compression"),
)


def play(here, listed, hosts=None):
    """Wall time of a play, and the seconds of CPU that it cost, by who spent them."""
    before = spent.now(here)
    _times, wall, cpu = here.play(listed, hosts=hosts)
    return wall, dict(spent.since(here, before), ansible=cpu)


def whole(here, url, ca):
    """The plays of WHOLE, by name."""
    ours, plain = task("ours", url, ca), {name: dict(host, **UNCOMPRESSED) for name, host in here.hosts.items()}
    found = {"connect": play(here, [tasks.RAW])}
    here.play([tasks.clean(tasks.OURS)])
    found["first"] = play(here, [ours])
    found["converged"] = play(here, [ours])
    here.play([tasks.FORGET])
    found["again"] = play(here, [ours])
    here.play([tasks.FORGET], hosts=plain)
    found["uncompressed"] = play(here, [ours], hosts=plain)
    return found


def controller(cpu):
    """What a play cost the controller: Ansible, and ssh with the connections that it keeps."""
    return cpu["ansible"] + cpu["connections"]


def measure(number, repeats):
    """The plays of a fleet. Of the others one with few tasks is taken from one with more, so that only tasks count."""
    with lab.Lab() as here:
        url, ca = here.manager("--auto-approve", "127.0.0.0/8")
        here.serve(number)
        for n, host in enumerate(here.hosts.values(), 1):
            # What a connection spent is known while it lasts.
            host.update(ip="10.3.%d.%d" % (n >> 8, n & 255), ansible_ssh_args=LASTING)
        found, rows = whole(here, url, ca), {}
        for kind in KINDS:
            wall1, cpu1 = play(here, [tasks.RAW])
            wall2, cpu2 = play(here, [tasks.RAW] + [task(kind, url, ca)] * repeats)
            rows[kind] = ((wall2 - wall1) / repeats, (controller(cpu2) - controller(cpu1)) / repeats)
    return found, rows


def steady(number, rows):
    """The rows of tasks by themselves."""
    ping = rows["ping"][0]
    return [(TITLES[kind], number, "%.2f s" % wall, "%.1f ms" % (cpu * 1e3 / number), "%.2f" % (wall / ping)) for kind, (wall, cpu) in rows.items()]


def plays(number, found):
    """The rows of whole plays: time, and who spent how much CPU for a host."""
    listed = []
    for name, title in WHOLE:
        wall, cpu = found[name]
        parts = [cpu[kind] * 1e3 / number for kind in ("ansible",) + spent.KINDS]
        listed.append([title, number, "%.1f s" % wall, "%.2f" % (wall / found["connect"][0])] + ["%.0f ms" % part for part in parts + [sum(parts)]])
    return listed


LIMIT = """
Each host is an sshd of its own with a /var/lib of its own, on this machine: their work is in the wall time, not in the controller's CPU.
What limits these figures is the CPU, which the hosts share with Ansible: for each task and host Ansible forks, and collects the variables.
"""
SPENT = """
"Ansible" is with the processes of ssh that it starts, for a first connection with the handshake. A kept connection compresses, encrypts and
sends; the hosts' commands unpack the program, hash it and run it. The start of the play is included, and divided by the hosts. What limits a first
enrollment is the upload: what ssh's compression and gzip take.
"""


def hosts():
    tasks_alone, whole_plays = [], []
    for number in map(int, os.environ.get("HOSTS", "20 200").split()):
        found, rows = measure(number, report.count("REPEATS", 3))
        tasks_alone += steady(number, rows)
        whole_plays += plays(number, found)
    text = report.table(("Task, forks 20", "Hosts", "Wall time of all", "Controller CPU per host", "Wall time / `ping`"), tasks_alone) + LIMIT + "\n"
    head = ("Play, forks 20", "Hosts", "Wall time of all", "To the first line", "CPU per host: Ansible", "kept connection", "sshd", "commands", "manager", "sum")
    return {"hosts": text + report.table(head, whole_plays) + SPENT}
