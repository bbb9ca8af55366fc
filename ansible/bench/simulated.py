"""Parts many and limit: simulated hosts, by the tests in internal/fleet."""

import json
import os
import subprocess
import sys
import tempfile

import lab
import report


LIMIT = """
A host waits half its interval on average by its own choice. What limits enrollments per second is this interval, since a host that
was approved fetches at its next poll; where more polls are possible than the machine can make, it is the simulated hosts' CPU, which
verify and store each a set of certificates on the processors that the manager uses too. Registrations
and approvals are each a commit to the manager's disk, the former with a TLS connection of its own.
"""


def run(test, **environment):
    """The figures that a test reports."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as file:
        env = dict(os.environ, LINUX_PATCH_BENCH=file.name, **environment)
        command = [os.environ.get("GO", "go"), "test", "-count=1", "-timeout", "30m", "-run", "^%s$" % test, "./internal/fleet"]
        done = subprocess.run(command, cwd=lab.TOP, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True)
        if done.returncode:
            sys.exit("%s failed:\n%s" % (test, done.stdout[-4000:]))
        return json.loads(file.read().splitlines()[-1])["figures"]


def fleet(hosts, interval=""):
    return run("TestManyHosts", LINUX_PATCH_FLEET=hosts, LINUX_PATCH_FLEET_INTERVAL=interval)


def many():
    found = [fleet(*size.split("/")) for size in os.environ.get("FLEETS", "1000 10000 4000/10").split()]
    rows = [
        ["Each polls every"] + ["%d s" % f["interval"] for f in found],
        ["That is, polls per second of all hosts together"] + ["%.0f" % (f["hosts"] / f["interval"]) for f in found],
        ["Lost bundles"] + [f["lost"] for f in found],
        ["Registrations per second, 50 at a time"] + ["%.0f" % f["registrations per second"] for f in found],
        ["Approvals per second, by the manager's command line"] + ["%.0f" % f["approvals per second"] for f in found],
        ["Enrollments per second, from the first approval to the last certificate"] + ["%.0f" % f["enrollments per second"] for f in found],
        ["Requests in all"] + [f["requests"] for f in found],
        ["Approval to provisioned, median"] + ["%.1f s" % f["p50"] for f in found],
        ["Approval to provisioned, 99th percentile"] + ["%.1f s" % f["p99"] for f in found],
        ["Memory of all hosts together, peak"] + ["%.0f MB" % f["client MB"] for f in found],
        ["That is, per host that waits"] + ["%.0f KB" % f["client KB per host"] for f in found],
        ["Memory of the manager, peak"] + ["%.0f MB" % f["manager MB"] for f in found],
    ]
    text = report.table(["Hosts"] + [f["hosts"] for f in found], rows)
    return {"many": text + LIMIT}


def limit():
    batched, at_once = run("TestFleetBehindOneAddress"), run("TestFleetBehindOneAddressAtOnce")
    rows = [
        ["Hosts", batched["hosts"], at_once["hosts"]],
        ["Approved in batches of", batched["batch"], at_once["hosts"]],
        ["Time in all", "%.0f min" % batched["minutes"], ""],
        ["Slowest host, from approval to provisioned", "%.1f min" % batched["slowest minutes from approval to provisioned"], ""],
        ["Requests that the manager took", batched["requests"], ""],
        ["Requests that it answered with 429", batched["answered 429"], ""],
        ["Lost bundles", batched["lost"], at_once["lost"]],
    ]
    text = report.table(["Behind one address", "in batches", "all at once"], rows)
    note = "The clock is simulated (`testing/synctest`); requests, sockets, manager and hosts are real. Manager: 1 request per 12 s, burst 3; a bundle is held 600 s. "
    note += "What limits all of it is that rate limit: 300 requests an hour from one address, whatever the programs could do.\n"
    return {"limit": text + "\n" + note}
