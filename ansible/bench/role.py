"""Part role: what the role and the playbooks cost beside the bare module."""

import json
import os
import shutil
import statistics
import subprocess

import lab
import report
import tasks

PLAYBOOKS = ("enroll", "register_then_provision", "enroll_fleet")


def variables(url, ca, **more):
    """The role's variables for a host of the lab."""
    given = lab.options(tasks.OURS, url, ca, **more)
    return dict({"enroll_" + name: value for name, value in given.items()}, enroll_service_action="none", enroll_become=False)


def role(name, settings):
    return {"name": name, "ansible.builtin.import_role": {"name": "linux_patch.api.enroll"}, "vars": dict(settings, bench=name)}


def side_by_side(here, url, ca):
    """The bare module and the role on one host, in turn in one play, each until the same task starts."""
    settings, one = variables(url, ca, fqdn="ours1.example.com", report_ip="10.1.0.1"), dict([next(iter(here.hosts.items()))])
    here.play([tasks.clean(tasks.OURS), role("warm", settings)], hosts=one)
    turn = [tasks.enroll("bare", url, ca, 1), tasks.RAW, role("role", settings), tasks.RAW]
    return lab.both(lambda count: here.play([tasks.RAW] + turn * count, hosts=one)[0], report.count("ROLE_ROUNDS", 60))


def counted(here, url, ca):
    """Tasks, and AWX's events and their bytes, of one converged host by the role."""
    directory = here.work / "runner"
    shutil.rmtree(directory, ignore_errors=True)
    for name in ("project", "inventory", "env"):
        (directory / name).mkdir(parents=True)
    name, host = next(iter(here.hosts.items()))
    settings = variables(url, ca, fqdn="ours1.example.com", report_ip="10.1.0.1")
    (directory / "inventory/hosts.json").write_text(json.dumps({"all": {"hosts": {name: dict(host, **settings)}}}))
    (directory / "project/site.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "roles": ["linux_patch.api.enroll"]}]))
    found = lab.ansible()
    environment = dict(os.environ, PATH="%s:%s" % (found, os.environ["PATH"]), HOME=str(here.work), ANSIBLE_COLLECTIONS_PATH=str(lab.COLLECTION))
    subprocess.run([found / "ansible-runner", "run", directory, "-p", "site.yml"], env=environment, stdout=subprocess.DEVNULL, check=True)
    files = list(directory.glob("artifacts/*/job_events/*.json"))
    events = [json.loads(file.read_text()) for file in files]
    started = [event for event in events if event["event"] == "playbook_on_task_start"]
    return len(started), len(events), sum(file.stat().st_size for file in files) / 1000


def fleet(here, url, ca):
    """Each playbook's time beside the role's, on converged hosts: ms by name."""
    settings = variables(url, ca, fqdn="{{ inventory_hostname }}.example.com", report_ip="{{ ip }}", approval="skip")
    for n, host in enumerate(here.hosts.values(), 1):
        # The first one has another address and name at the manager already.
        host["ip"] = "10.5.0.%d" % n
    here.play([tasks.clean(tasks.OURS), role("warm", settings)])

    def in_turn(count):
        times = {name: [] for name in ("role",) + PLAYBOOKS}
        for _ in range(count):
            here.play([role("role", settings)])
            times["role"].append(here.span)
            for name in PLAYBOOKS:
                here.play("linux_patch.api." + name, **settings)
                times[name].append(here.span)
        return times

    return lab.both(in_turn, report.count("ROLE_REPEATS", 8))


def measure():
    with lab.Lab() as here:
        url, ca = here.manager("--auto-approve", "127.0.0.0/8")
        here.serve(report.count("ROLE_HOSTS", 20))
        return side_by_side(here, url, ca), counted(here, url, ca), fleet(here, url, ca), len(here.hosts)


def roles():
    one, (started, events, kilobytes), many, number = measure()
    rows = [(title, *report.spread(one[0][name], "ms")) for name, title in (
        ("raw", "`raw: true`"), ("bare", "the module, converged"), ("role", "the role, converged"))]  # fmt: skip
    text = report.table(("One host, in one play", "Median", "10th to 90th percentile"), rows)
    listed = [report.ratio(one, "role", "bare", "the role / the module", 2.5)]
    listed += [report.ratio(many, name, "role", "playbook `%s` / the role, %d hosts" % (name, number), 1.3) for name in PLAYBOOKS]
    text += "\n" + report.ratios(listed)
    rows = [
        ("tasks, that of Ansible's own argument check too", started, report.verdict(started, 8)),
        ("events, those of the play too", events, report.verdict(events, 20)),
        ("size of the events", "%.1f KB" % kilobytes, report.verdict(kilobytes, 20)),
    ]
    text += "\n" + report.table(("What AWX stores of a converged host by the role", "Figure", "Bar"), rows)
    text += "\nOne host: %s. Each playbook: %s; the role on all hosts took %.0f ms, the median. " % (
        report.rounds(one, "role"), report.rounds(many, "role"), statistics.median(many[0]["role"]))  # fmt: skip
    text += "Counted by ansible-runner, which is AWX's engine. The limit is Ansible's: a fork and the variables of each task, and its argument check.\n"
    return {"role": text}
