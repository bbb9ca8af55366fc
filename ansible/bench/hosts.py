"""Part hosts: what many hosts at once cost the controller."""

import os

import lab
import report
import tasks

KINDS = ("raw", "ours", "ping")
TITLES = {"raw": "`raw: true`", "ours": "ours, converged", "ping": "`ping` with pipelining"}


def task(kind, url, ca):
    if kind == "raw":
        return {"name": "raw", "ansible.builtin.raw": "true"}
    if kind == "ping":
        return {"name": "ping", "ansible.builtin.ping": None, "vars": {"ansible_pipelining": True}}
    return {"name": "ours", "linux_patch.api.enrollment": lab.options(tasks.OURS, url, ca, fqdn="{{ inventory_hostname }}.example.com", report_ip="{{ ip }}")}


def measure(number, repeats):
    """The rows of a fleet: a play with few tasks is taken from one with more, so that only tasks count."""
    with lab.Lab() as here:
        url, ca = here.manager("--auto-approve", "127.0.0.0/8")
        here.serve(number)
        for n, host in enumerate(here.hosts.values(), 1):
            host["ip"] = "10.3.%d.%d" % (n >> 8, n & 255)
        connect = [{"name": "raw", "ansible.builtin.raw": "true"}]
        here.play(connect + [tasks.clean(tasks.OURS)])
        _times, wall, cpu = here.play(connect + [task("ours", url, ca)])
        first = ("ours, first enrollment, upload and start of the play included", number, "%.1f s" % wall, "%.0f ms" % (cpu * 1e3 / number), "")
        rows = {}
        for kind in KINDS:
            _times, wall1, cpu1 = here.play(connect)
            _times, wall2, cpu2 = here.play(connect + [task(kind, url, ca)] * repeats)
            rows[kind] = ((wall2 - wall1) / repeats, (cpu2 - cpu1) / repeats)
    found = [first]
    for kind in KINDS:
        wall, cpu = rows[kind]
        found.append((TITLES[kind], number, "%.2f s" % wall, "%.1f ms" % (cpu * 1e3 / number), "%.2f" % (wall / rows["ping"][0])))
    return found


def hosts():
    rows = []
    for number in map(int, os.environ.get("HOSTS", "20 200").split()):
        rows += measure(number, report.count("REPEATS", 3))
    text = report.table(("Task, forks 20", "Hosts", "Wall time of all", "Controller CPU per host", "Wall time / `ping`"), rows)
    return {"hosts": text + "\nEach host is an sshd of its own with a /var/lib of its own, on this machine: their work is in the wall time, not in the controller's CPU.\n"}
