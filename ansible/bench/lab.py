"""What the parts of the bench run on: hosts with an sshd of their own on
loopback, a reference manager, and plays whose tasks are timed."""

import contextlib
import json
import os
import pathlib
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import spent

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = TOP / "build" / "bin"
COLLECTION = TOP / "build" / "collection"

# A task's wall time is that between the moments when Ansible starts it and starts
# the next one: what has no result, such as a meta task after it, is in it.
CALLBACK = """
from ansible.plugins.callback import CallbackBase
import json, os, subprocess, time


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "times"
    group = None

    def note(self, *what):
        with open(os.environ["BENCH_TIMES"], "a") as f:
            f.write(json.dumps(what) + "\\n")

    def v2_playbook_on_play_start(self, play):
        self.mark()

    def v2_playbook_on_task_start(self, task, is_conditional):
        self.close()
        self.group, self.start = task.get_vars().get("bench", task.name), time.perf_counter()

    def v2_playbook_on_stats(self, stats):
        self.mark()

    def mark(self):
        self.close()
        now = time.perf_counter()
        self.note("play", now, now)

    def close(self):
        group, end, self.group = self.group, time.perf_counter(), None
        if group is None:
            return
        self.note(group, self.start, end)
        if group == "raw" and os.environ.get("BENCH_SSH"):
            if not getattr(self, "connected", False):
                self.ssh()
                self.connected = True
            start = time.perf_counter()
            self.ssh()
            self.note("ssh", start, time.perf_counter())

    def ssh(self):
        # A master's connection of its own; Ansible names its sockets otherwise.
        quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run(json.loads(os.environ["BENCH_SSH"]), check=True, **quiet)
"""

# Ansible's own, but for this machine's files: it lets ssh compress.
SSH_ARGS = "-C -o ControlMaster=auto -o ControlPersist=60s -F none -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no"
# A connection of its own, by the other path of its socket.
UNCOMPRESSED = {"ansible_ssh_args": SSH_ARGS.replace("-C ", ""), "ansible_control_path": "%(directory)s/u%%C"}

SSHD = """HostKey %(work)s/key
AuthorizedKeysFile %(work)s/authorized
StrictModes no
UsePAM no
PermitRootLogin yes
MaxSessions 100
MaxStartups 500
PidFile none
Subsystem sftp internal-sftp
"""

# A host: /var/lib and the machine-id are its own.
HOST = (
    "mount -t tmpfs -o mode=0755 tmpfs /var/lib && mount --bind %(id)s /etc/machine-id"
    # What this machine's user has in there, version managers say, would be in
    # every figure, since a shell that ssh starts reads it.
    " && for f in .bashrc .bash_profile .profile .zshenv; do [ ! -e ~/$f ] || mount --bind /dev/null ~/$f; done"
    " && exec /usr/sbin/sshd -D -f %(work)s/sshd -o ListenAddress=%(address)s:%(port)d"
)


def missing():
    """Why hosts over ssh cannot be had here."""
    if os.getuid() != 0:
        return "it takes root"
    absent = [name for name in ("/usr/sbin/sshd", "/usr/bin/unshare", "/usr/bin/openssl") if not os.path.exists(name)]
    return "it takes " + ", ".join(absent) if absent else None


def ansible():
    """The pinned one, whatever this machine has: runs of two machines are of one Ansible."""
    found = subprocess.run([TOP / "ansible/setup/ansible", "pinned"], stdout=subprocess.PIPE, check=True, text=True)
    return pathlib.Path(found.stdout.strip())


def python():
    """An interpreter for the peers on the hosts."""
    return "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


def wait_for(what, seconds=30):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            sys.exit("it did not start in %d s" % seconds)
        time.sleep(0.05)


def listens(address, port):
    with socket.socket() as s:
        return s.connect_ex((address, port)) == 0


# It ends with the bench, however that ends.
LOOP = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


@contextlib.contextmanager
def load():
    """Keeps every processor busy."""
    loops = [subprocess.Popen([sys.executable, "-I", "-S", "-c", LOOP]) for _ in range(os.cpu_count())]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def both(measure, count):
    """What a number of rounds give on the machine as it is, and what half as many give beside a load."""
    quiet = measure(count)
    with load():
        return quiet, measure(max(3, count // 2))


class Lab:
    """A directory, and the processes that end with it."""

    def __init__(self):
        # Elsewhere the path of a control socket may be too long.
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="lpb.", dir="/run" if os.getuid() == 0 else None))
        self.processes = []
        self.hosts = {}
        self.listeners, self.managers = set(), set()

    def __enter__(self):
        os.umask(0o022)
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait()
        for connection in spent.connections(self.work):
            os.kill(connection, signal.SIGTERM)
        shutil.rmtree(self.work, ignore_errors=True)

    def start(self, *command):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    def manager(self, *flags):
        """Starts a manager; returns its URL and the file with its CA."""
        url, data = self.work / "url", self.work / "manager"
        started = self.start(BIN / "linux_patch_manager", "serve", "--data", data, "--url-file", url, "--rate-limit", "off", *flags)
        self.managers.add(started.pid)
        wait_for(lambda: url.exists() and url.read_text().strip())
        return url.read_text().strip(), str(data / "ca.pem")

    def serve(self, count):
        """Starts hosts 127.0.1.1 and on, all on one port."""
        for key in ("key", "identity"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.work / key], check=True)
        (self.work / "identity.pub").rename(self.work / "authorized")
        (self.work / "sshd").write_text(SSHD % {"work": self.work})
        (self.work / "control").mkdir()
        os.makedirs("/run/sshd", exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        for n in range(1, count + 1):
            address, machine = "127.0.1.%d" % n, self.work / ("id%d" % n)
            machine.write_text(secrets.token_hex(16) + "\n")
            script = HOST % {"id": machine, "work": self.work, "address": address, "port": self.port}
            self.listeners.add(self.start("unshare", "--mount", "--propagation", "private", "sh", "-c", script).pid)
            self.hosts["host%d" % n] = self.ssh_host(address, self.port)
        for host in self.hosts.values():
            wait_for(lambda host=host: listens(host["ansible_host"], self.port))

    def ssh_host(self, address, port):
        return {
            "ansible_connection": "ssh",
            "ansible_host": address,
            "ansible_port": port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.work / "identity"),
            "ansible_control_path_dir": str(self.work / "control"),
            "ansible_ssh_args": SSH_ARGS,
            "ansible_python_interpreter": python(),
        }

    def ssh(self, host):
        """The command that a task of Ansible runs, with `true`."""
        path = self.work / "control" / "%C"
        return ["ssh", *host["ansible_ssh_args"].split(), "-o", "ControlPath=%s" % path, "-i", host["ansible_ssh_private_key_file"],
                "-p", str(host["ansible_port"]), "root@" + host["ansible_host"], "true"]  # fmt: skip

    def delayed(self, host, seconds):
        """The same host, behind a line that takes so long each way."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        relay = pathlib.Path(__file__).with_name("relay.py")
        self.start(sys.executable, relay, str(port), host["ansible_host"], str(host["ansible_port"]), str(seconds))
        wait_for(lambda: listens("127.0.0.1", port))
        return dict(host, ansible_host="127.0.0.1", ansible_port=port)

    def plain(self):
        """A connection like ssh without pipelining: there Ansible transfers modules."""
        found = subprocess.run([ansible() / "ansible", "--version"], stdout=subprocess.PIPE, check=True, text=True).stdout
        library = next(line.split(" = ")[1] for line in found.splitlines() if "python module location" in line)
        source = pathlib.Path(library, "plugins/connection/ssh.py").read_text()
        (self.work / "connections").mkdir(exist_ok=True)
        (self.work / "connections/plain.py").write_text(source.replace("has_pipelining = True", "has_pipelining = False"))

    def play(self, tasks, hosts=None, forks=20, **variables):
        """Runs tasks, or a playbook by its name; returns the times by group and round, and what it cost here."""
        hosts = hosts or self.hosts
        (self.work / "callbacks").mkdir(exist_ok=True)
        (self.work / "callbacks/times.py").write_text(CALLBACK)
        (self.work / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}))
        book = tasks
        if not isinstance(tasks, str):
            book = self.work / "play.json"
            book.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
        (self.work / "ansible.cfg").write_text("[defaults]\n")
        times = self.work / "times"
        times.unlink(missing_ok=True)
        environment = dict(
            os.environ,
            HOME=str(self.work),
            ANSIBLE_HOME=str(self.work / "home"),
            ANSIBLE_COLLECTIONS_PATH=str(COLLECTION),
            ANSIBLE_ROLES_PATH=str(pathlib.Path(__file__).with_name("roles")),
            ANSIBLE_CALLBACK_PLUGINS=str(self.work / "callbacks"),
            ANSIBLE_CONNECTION_PLUGINS=str(self.work / "connections"),
            ANSIBLE_FORKS=str(forks),
            ANSIBLE_CONFIG=str(self.work / "ansible.cfg"),
            BENCH_TIMES=str(times),
        )
        if len(hosts) == 1:
            environment["BENCH_SSH"] = json.dumps(self.ssh(next(iter(hosts.values()))))
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            [ansible() / "ansible-playbook", "-i", self.work / "inventory.json", book],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True,
        )  # fmt: skip
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            sys.exit("the playbook failed:\n" + done.stdout[-4000:])
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        notes = [json.loads(line) for line in times.read_text().splitlines()] if times.exists() else []
        # From the first play's start to the end of the last one.
        self.span = (max(end for *_, end in notes) - min(start for _group, start, _end in notes)) * 1e3 if notes else 0
        return groups(notes), wall, cpu


def groups(notes):
    """Times in ms: neighbours of one group are one round of it."""
    found, last = {}, None
    for group, start, end in notes:
        if group == last:
            found[group][-1][1] = end
        else:
            found.setdefault(group, []).append([start, end])
        last = group
    return {group: [(end - start) * 1e3 for start, end in rounds] for group, rounds in found.items()}


def options(directory, url, ca, **more):
    """Arguments of the module for a host whose files are all in one directory."""
    paths = {"config_path": "config.yaml", "state_dir": "state", "whitelist_path": "whitelist.yaml", "crl_path": "crl.pem",
             "ca_cert_path": "ca.pem", "server_cert_path": "server.pem", "server_key_path": "server.key.pem"}  # fmt: skip
    arguments = {name: "%s/%s" % (directory, path) for name, path in paths.items()}
    return dict(arguments, manager_url=url, manager_ca_path=ca, polling_interval_seconds=1, **more)
