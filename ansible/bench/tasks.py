"""Parts ssh, delay and fresh: what a task costs over ssh, beside Ansible's own."""

import contextlib
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


RAW = {"name": "raw", "ansible.builtin.raw": "true"}
PING = {"name": "ping", "ansible.builtin.ping": None, "vars": {"ansible_pipelining": True}}
FORGET = {"name": "forget", "ansible.builtin.raw": "rm -rf /var/lib/linux_patch_modules"}
# How often a round has the short tasks: beside a load one of them is no measure.
SHORT = 5
# Where the last task before it ends; the end of the play is in no task's time.
END = {"name": "end", "ansible.builtin.raw": "true"}


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
        listed += [RAW, enroll("cached", url, ca, previous), PING] * SHORT
        listed += [
            enroll("beside role", url, ca, previous),
            role("role", url, ca, previous),
            enroll("transfer", url, ca, previous, ansible_connection="plain"),
            FORGET,
            enroll("first", url, ca, previous),
            enroll("transfer uncompressed", url, ca, previous, ansible_connection="plain", **lab.UNCOMPRESSED),
            FORGET,
            enroll("first uncompressed", url, ca, previous, **lab.UNCOMPRESSED),
            clean(OURS),
            enroll("enroll", url, ca, number),
            {"name": "clean", "ansible.builtin.raw": "rm -rf %s" % PEERS},
            role("role enrolls", url, ca, number),
        ]
    return listed + [END]


@contextlib.contextmanager
def one_host(seconds=0, *flags):
    """A lab of one host, behind a line that takes so long there and back, and its manager's URL and CA."""
    with lab.Lab() as here:
        url, ca = here.manager("--auto-approve", "127.0.0.0/8", *flags)
        here.serve(1)
        here.plain()
        if seconds:
            here.hosts = {name: here.delayed(host, seconds / 2) for name, host in here.hosts.items()}
        yield here, url, ca


def repeated(count):
    """The ratio to raw in three more runs of ansible-playbook, each with connections of its own."""
    medians = []
    with one_host() as (here, url, ca):
        here.play([clean(OURS), enroll("warm", url, ca, 1)])
        for _ in range(3):
            for control in (here.work / "control").iterdir():
                control.unlink()
            times = here.play([RAW, enroll("cached", url, ca, 1)] * (4 * count) + [END])[0]
            medians.append(statistics.median(ours / raw for ours, raw in zip(times["cached"], times["raw"])))
    return medians


def measure(count, seconds=0):
    with one_host(seconds, "--conflict", "500") as (here, url, ca):
        return here.play(rounds(count, url, ca))[0]


def show(both, head, rows, listed):
    """What tasks took, and the ratios of each round."""
    text = report.table((head, "Median", "10th to 90th percentile"), [(title, *report.spread(both[0][name], "ms")) for name, title in rows])
    return text + "\n" + report.ratios([report.ratio(both, *one) for one in listed])


def told(both):
    return "\n%s, each with all the tasks in turn, the first four of the table %d times. " % (report.rounds(both, "role"), SHORT)


def ssh():
    count = report.count("ROUNDS", 12)
    both, again = lab.both(measure, count), repeated(count)
    text = show(both, "Task", ROWS, (
        ("cached", "ping", "converged / `ping` with pipelining", 0.25),
        ("cached", "raw", "converged / `raw: true`", 1.5),
        ("beside role", "role", "converged / role of built-in modules"),
        ("first", "transfer", "first use / transfer of the same program", 0.5),
        ("first uncompressed", "transfer uncompressed", "the same, without ssh's compression"),
        ("enroll", "role enrolls", "first enrollment / role of built-in modules", 0.125),
    ))  # fmt: skip
    text += told(both) + "sshd on loopback; ssh with Ansible's own arguments, which compress and multiplex.\n"
    text += "\nConverged / `raw: true` in three more runs of ansible-playbook, the median of each: %s. From the least to the most it is %.0f %%.\n" % (
        ", ".join("%.2f" % ratio for ratio in again), (max(again) / min(again) - 1) * 100)  # fmt: skip
    text += "\nThe limit of a converged task is Ansible's: `raw: true` does the same but for the program. That of a first use is the host's, which unpacks and hashes it.\n"
    return {"ssh": text}


def delay():
    both = lab.both(lambda count: measure(count, 0.02), report.count("DELAY_ROUNDS", 6))
    text = show(both, "Task", ROWS, (
        ("cached", "raw", "converged / `raw: true`", 1.6),
        ("cached", "ping", "converged / `ping` with pipelining"),
        ("first", "transfer", "first use / transfer of the same program"),
        ("first uncompressed", "transfer uncompressed", "the same, without ssh's compression"),
        ("enroll", "role enrolls", "first enrollment / role of built-in modules"),
    ))  # fmt: skip
    text += told(both) + "Between controller and host stands `ansible/bench/relay.py`, which holds each packet 10 ms: this kernel may have no `tc netem`.\n"
    return {"delay": text + "The limit is the line: a converged task waits for it once, as `raw: true` does.\n"}


def fresh():
    """The first use in a run of Ansible of its own, beside Ansible's transfer in another one."""
    kinds = {"first": {}, "transfer": {"ansible_connection": "plain"}}
    with one_host() as (here, url, ca):
        here.play([clean(OURS), enroll("warm", url, ca, 1)])

        def in_turn(count):
            times = {kind: [] for kind in kinds}
            for _ in range(count):
                for kind, settings in kinds.items():
                    times[kind] += here.play([FORGET, enroll(kind, url, ca, 1, **settings), END])[0][kind]
            return times

        both = lab.both(in_turn, report.count("FRESH_ROUNDS", 16))
    text = show(both, "Task, the first of its play", [row for row in ROWS if row[0] in kinds], [("first", "transfer", "first use / transfer of the same program", 0.5)])
    text += "\n%s, each of two runs of ansible-playbook. Whatever is compressed or hashed on the controller is in the figures; ssh compresses. " % report.rounds(both, "first")
    return {"fresh": text + "The limit is the host's: it unpacks and hashes the program.\n"}
