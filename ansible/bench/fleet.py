"""Part fleet: approvals by proof among planted requests, with the real programs."""

import os
import re
import subprocess
import sys

import lab
import report

FIGURES = re.compile(r"figures: (.*)")

LIMIT = """
At the deployed limits, the manager's two calls of the admin API per second limit the time. In the other two rows there is no rate limit, and what
limits them is the CPU: the manager's answers, and the comparison of each request with all hosts.
"""


def fleet():
    command = [os.environ.get("GO", "go"), "test", "-count=1", "-timeout", "60m", "-run", "^$", "-bench", ".", "-benchtime", "1x", "./internal/cmd/enrollment_admin"]
    done = subprocess.run(command, cwd=lab.TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True)
    if done.returncode:
        sys.exit("the fleet's benchmarks failed:\n%s" % done.stdout[-4000:])
    rows = [found.split(": ", 1) for found in dict.fromkeys(FIGURES.findall(done.stdout))]
    return {"fleet": report.table(["What", "Figures"], rows) + LIMIT}
