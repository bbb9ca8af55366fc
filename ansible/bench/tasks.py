"""Parts ssh and delay: what a task costs over ssh, beside Ansible's own."""

import statistics

import lab
import report

CONFIG = "tls:\\n  ca_cert: {0}/ca.pem\\n  server_cert: {0}/server.pem\\n  server_key: {0}/server.key.pem\\n  crl_path: {0}/crl.pem\\nwhitelist:\\n  path: {0}/whitelist.yaml\\nlogging:\\n  file_path: {0}/audit.log\\n"
OURS, PEERS = "/var/lib/bench", "/var/lib/bench_peer"

ROWS = (
    ("ssh", "`ssh HOST true`, without Ansible"),
    ("raw", "`raw: true`"),
    ("cached", "ours, converged"),
    ("ping", "`ping` with pipelining"),
    ("role", "role of built-in modules, converged, with pipelining"),
    ("first", "ours, first use on a host (upload and run)"),
    ("transfer", "ours, by Ansible's transfer"),
    ("first uncompressed", "ours, first use, without ssh's compression"),
    ("transfer uncompressed", "ours, by Ansible's transfer, without ssh's compression"),
    ("enroll", "ours, first enrollment"),
    ("role enrolls", "role of built-in modules, first enrollment, with pipelining"),
)


def clean(directory):
    """A task that makes a host's directory anew."""
    script = "rm -rf {0}; mkdir {0}; printf '{1}' >{0}/config.yaml".format(directory, CONFIG.format(directory))
    return {"name": "clean", "ansible.builtin.raw": script}


def enroll(name, url, ca, number, **settings):
    arguments = lab.options(OURS, url, ca, fqdn="ours%d.example.com" % number, report_ip="10.1.0.%d" % number)
    return {"name": name, "linux_patch.api.enrollment": arguments, "vars": dict(settings, bench=name)}


def role(name, url, ca, number):
    settings = {"bench": name, "b_dir": PEERS, "b_url": url, "b_ca": ca, "b_fqdn": "peer%d.example.com" % number,
                "b_ip": "10.2.0.%d" % number, "b_machine_id": "%032x" % (1 << 64 | number), "ansible_pipelining": True}  # fmt: skip
    return {"name": name, "ansible.builtin.import_role": {"name": "builtin"}, "vars": settings}


def rounds(count, url, ca):
    listed = [clean(OURS), {"name": "clean", "ansible.builtin.raw": "rm -rf %s" % PEERS}]
    listed += [enroll("warm", url, ca, 1), role("warm role", url, ca, 1), enroll("warm", url, ca, 1, ansible_connection="plain")]
    listed += [enroll("warm", url, ca, 1, **lab.UNCOMPRESSED)]
    for number in range(2, count + 2):
        previous = number - 1
        ping = {"name": "ping", "ansible.builtin.ping": None, "vars": {"ansible_pipelining": True}}
        forget = {"name": "forget", "ansible.builtin.raw": "rm -rf /var/lib/linux_patch_modules"}
        listed += [
            {"name": "raw", "ansible.builtin.raw": "true"},
            enroll("cached", url, ca, previous),
            ping,
            role("role", url, ca, previous),
            enroll("transfer", url, ca, previous, ansible_connection="plain"),
            forget,
            enroll("first", url, ca, previous),
            enroll("transfer uncompressed", url, ca, previous, ansible_connection="plain", **lab.UNCOMPRESSED),
            forget,
            enroll("first uncompressed", url, ca, previous, **lab.UNCOMPRESSED),
            clean(OURS),
            enroll("enroll", url, ca, number),
            {"name": "clean", "ansible.builtin.raw": "rm -rf %s" % PEERS},
            role("role enrolls", url, ca, number),
        ]
    return listed


def repeated(here, url, ca, count):
    """The ratio to raw in three more runs of ansible-playbook, each with connections of its own."""
    ratios = []
    for _ in range(3):
        pair = [{"name": "raw", "ansible.builtin.raw": "true"}, enroll("cached", url, ca, count + 1)]
        times = here.play(pair * (4 * count))[0]
        for control in (here.work / "control").iterdir():
            control.unlink()
        ratios.append(statistics.median(ours / raw for ours, raw in zip(times["cached"], times["raw"])))
    return ratios


def measure(count, delay, again=None):
    with lab.Lab() as here:
        url, ca = here.manager("--auto-approve", "127.0.0.0/8", "--conflict", "500")
        here.serve(1)
        here.plain()
        (name, host), = here.hosts.items()
        if delay:
            here.hosts[name] = here.delayed(host, delay / 2)
        times, _wall, _cpu = here.play(rounds(count, url, ca))
        if again is not None:
            again += repeated(here, url, ca, count)
    return times


def show(times, bars, note):
    rows = [(title, *report.spread(times[name], "ms")) for name, title in ROWS]
    text = report.table(("Task", "Median", "10th to 90th percentile"), rows)
    ratios = [report.ratio(times[one], times[other], title, bar) for one, other, title, bar in bars]
    text += "\n" + report.table(("Ratio, of each round by itself", "Median", "10th to 90th percentile", "Bar"), ratios)
    return text + "\n%d rounds, each with all the tasks in turn. %s\n" % (len(times["raw"]), note)


def ssh():
    again = []
    times = measure(report.count("ROUNDS", 12), 0, again)
    bars = (
        ("cached", "ping", "converged / `ping` with pipelining", 0.25),
        ("cached", "raw", "converged / `raw: true`", 1.5),
        ("cached", "role", "converged / role of built-in modules", None),
        ("first", "transfer", "first use / transfer of the same program", 0.5),
        ("first uncompressed", "transfer uncompressed", "the same, without ssh's compression", None),
        ("enroll", "role enrolls", "first enrollment / role of built-in modules", 0.125),
    )
    note = "sshd on loopback; ssh with Ansible's own arguments, which compress and multiplex.\n"
    note += "\nConverged / `raw: true` in three more runs of ansible-playbook, the median of each: %s. From the least to the most it is %.0f %%.\n" % (
        ", ".join("%.2f" % ratio for ratio in again), (max(again) / min(again) - 1) * 100)  # fmt: skip
    note += "\nThe limit of a converged task is Ansible's: `raw: true` does the same but for the program. That of a first use is the host's, which unpacks and hashes it."
    return {"ssh": show(times, bars, note)}


def delay():
    times = measure(report.count("DELAY_ROUNDS", 6), 0.02)
    bars = (
        ("cached", "raw", "converged / `raw: true`", 1.6),
        ("cached", "ping", "converged / `ping` with pipelining", None),
        ("first", "transfer", "first use / transfer of the same program", None),
        ("first uncompressed", "transfer uncompressed", "the same, without ssh's compression", None),
        ("enroll", "role enrolls", "first enrollment / role of built-in modules", None),
    )
    note = "Between controller and host stands `ansible/bench/relay.py`, which holds each packet 10 ms: this kernel may have no `tc netem`."
    note += "\nThe limit is the line: a converged task waits for it once, as `raw: true` does."
    return {"delay": show(times, bars, note)}


def fresh():
    """The first use in a run of Ansible of its own, beside Ansible's transfer in another one."""
    kinds = {"first": {}, "transfer": {"ansible_connection": "plain"}}
    times = {kind: [] for kind in kinds}
    with lab.Lab() as here:
        url, ca = here.manager("--auto-approve", "127.0.0.0/8")
        here.serve(1)
        here.plain()
        here.play([clean(OURS), enroll("warm", url, ca, 1)])
        forget = {"name": "forget", "ansible.builtin.raw": "rm -rf /var/lib/linux_patch_modules"}
        for _ in range(report.count("FRESH_ROUNDS", 9)):
            for kind, settings in kinds.items():
                times[kind] += here.play([forget, enroll(kind, url, ca, 1, **settings)])[0][kind]
    rows = [(title, *report.spread(times[kind], "ms")) for kind, title in (
        ("first", "ours, first use on a host (upload and run)"), ("transfer", "ours, by Ansible's transfer"))]  # fmt: skip
    text = report.table(("Task, the first of its play", "Median", "10th to 90th percentile"), rows)
    rows = [report.ratio(times["first"], times["transfer"], "first use / transfer of the same program", 0.5)]
    text += "\n" + report.table(("Ratio, of each round by itself", "Median", "10th to 90th percentile", "Bar"), rows)
    text += "\n%d rounds, each of two runs of ansible-playbook. Whatever is compressed or hashed on the controller is in the figures; ssh compresses. " % len(times["first"])
    text += "The limit is the host's: it unpacks and hashes the program.\n"
    return {"fresh": text}
