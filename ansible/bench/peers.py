"""Part peers: other programs for the same job, as far as they are installed here.

apt-get install certmonger icinga2-bin puppet; go install
github.com/smallstep/cli/cmd/step and github.com/smallstep/certificates/cmd/step-ca.
What is not here is said. The machines that they would talk to are not in it: each
figure is of the command that looks whether there is anything to do, or that makes
the key and the request of a first certificate.
"""

import os
import shutil
import statistics
import subprocess

import lab
import process
import report


def certificate(directory):
    """A CA, and a certificate of it, by openssl."""
    for command in (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout ca.key -out ca.pem -subj /CN=ca -days 30",
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout host.key -out host.csr -subj /CN=host.example.com",
        "openssl x509 -req -in host.csr -CA ca.pem -CAkey ca.key -out host.pem -days 30",
    ):
        subprocess.run(command.split(), cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


# Title, program, its arguments for nothing to do and for a first certificate, and
# what the first does and does not check. {} is the directory.
PEERS = (
    ("`openssl verify`", "openssl", "verify -CAfile {0}/ca.pem {0}/host.pem", "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout {0}/new.key -out {0}/new.csr -subj /CN=new",
     "the chain and its times; no key, mode, owner, whitelist, journal or pending request", "key and request only; nothing is sent or put in place"),
    ("`step certificate needs-renewal`", "step", "certificate needs-renewal {0}/host.pem --expires-in 1h",
     "certificate create new.example.com {0}/new.csr {0}/new.key --csr --no-password --insecure --force",
     "the time of one certificate (it exits 1 where nothing is due); no chain, key, mode or CRL", "key and request only"),
    ("`icinga2 pki verify`", "icinga2", "pki verify --cert {0}/host.pem --cacert {0}/ca.pem", "pki new-cert --cn new.example.com --key {0}/new.key --csr {0}/new.csr",
     "the chain; no CRL, key, mode or time of renewal", "key (RSA 4096) and request only"),
    ("`puppet ssl verify`", "puppet", "ssl verify --ssldir {0}/puppet --server localhost", None, "chain, key and CRL of its own files; here they are missing, so it ends early", ""),
    ("`getcert list` (certmonger)", "getcert", "list -f {0}/host.pem", None, "asks its daemon over D-Bus; here none runs, so it ends early", ""),
)
SERVERS = (("step-ca", "step-ca", "version"),)


def timed(command, environment):
    """CPU and peak memory of a command, whatever it says."""
    null = os.open(os.devnull, os.O_RDWR)
    child = os.posix_spawn(command[0], command, environment, file_actions=[(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)])
    os.close(null)
    _, _status, usage = os.wait4(child, 0)
    return (usage.ru_utime + usage.ru_stime) * 1e3


def size(path):
    """What the program is on disk: its file, or its package's where it is a script."""
    return "%.1f MB" % (os.path.getsize(os.path.realpath(path)) / 1e6)


def measure(here):
    url, ca = here.manager("--auto-approve", "127.0.0.1")
    program = str(lab.BIN / "enrollment")
    directory = here.work / "peers"
    directory.mkdir()
    certificate(directory)
    ours = process.prepare(here.work / "host0", url, ca, 0)
    subprocess.run([program, ours], stdout=subprocess.DEVNULL, check=True)
    runs = report.count("PEER_RUNS", 15)
    environment = dict(os.environ, HOME=str(here.work), STEPPATH=str(here.work / "step"))
    first = statistics.median(process.measure(program, process.prepare(here.work / ("first%d" % n), url, ca, 1000 + n))[1] for n in range(runs))
    rows, missing = [], []
    base = statistics.median(process.measure(program, ours)[1] for _ in range(runs))
    rows.append(("`enrollment`", "%.1f ms" % base, "1.0", "%.1f ms" % first, "%.0f MB" % process.peak(program, ours), size(program),
                 "chain, key, CRL, times, identity, modes, owners, whitelist, journal, request", "all: asked, approved, fetched, verified, put in place"))  # fmt: skip
    for title, name, nothing, new, checks, gets in PEERS:
        found = shutil.which(name)
        if not found:
            missing.append(name)
            continue
        command = [found] + nothing.format(directory).split()
        pairs = [(timed(command, environment), process.measure(program, ours)[1]) for _ in range(runs)]
        made = "%.1f ms" % statistics.median(timed([found] + new.format(directory).split(), environment) for _ in range(runs)) if new else ""
        rows.append((title, "%.1f ms" % statistics.median(theirs for theirs, _ in pairs), "%.1f" % statistics.median(a / b for a, b in pairs), made,
                     "%.0f MB" % process.peak(*command), size(found), checks, gets))  # fmt: skip
    missing += [name for name, program, _ in SERVERS if not shutil.which(program)]
    return rows, missing, runs


def peers():
    with lab.Lab() as here:
        rows, missing, runs = measure(here)
    text = report.table(("Program", "Nothing to do, CPU", "/ ours", "First certificate, CPU", "Peak memory", "File on disk", "Nothing to do checks", "First certificate is"), rows)
    text += "\n%d runs of each, each in turn with ours. A script's file is small: its interpreter, or the program that it wraps, is not in it.\n" % runs
    if missing:
        text += "Not installed here, so not measured: %s.\n" % ", ".join(missing)
    return {"peers": text}
