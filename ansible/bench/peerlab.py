"""What the part peers measures: programs for the same job, each with a server of
its own on loopback, as far as they are installed here.

A function of this file starts a peer and enrolls its first host. It raises Missing
where that cannot be done, with the reason.
"""

import dataclasses
import grp
import os
import pathlib
import pwd
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable

import lab
import process

KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc"


class Missing(Exception):
    """Why a peer cannot be measured here."""


@dataclasses.dataclass
class Peer:
    name: str
    titles: tuple  # what the two commands are called
    nothing: list  # the command that looks whether there is anything to do
    first: Callable  # the commands by which host number n gets its first certificate
    checks: str
    unchecked: str
    obtains: str
    disk: float  # MB of its programs alone
    needs: float  # MB, with all that a minimal system lacks
    environment: dict = dataclasses.field(default_factory=dict)
    status: int = 0  # with which the first command ends where nothing is to do
    stays: str = "nothing"
    agent: int = 0  # the process that stays on the host
    helper: int = 0  # a process that works for the commands, whose CPU time is theirs
    server: tuple = ()  # its name, process and size


def program(name, package):
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not found:
        raise Missing("no %s here: apt-get install %s" % (name, package))
    return found


def tool(name):
    """A program from the Go proxy, built once."""
    done = subprocess.run([lab.TOP / "ansible/setup/gotool", name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, text=True)
    if done.returncode:
        raise Missing("%s cannot be built: %s" % (name, (done.stderr.splitlines() or ["no reason given"])[-1]))
    return done.stdout.strip()


def run(command, environment=None, **more):
    """Runs a command that prepares; what it said is the reason if it fails."""
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **more}
    done = subprocess.run([str(word) for word in command], env=dict(os.environ, **(environment or {})), check=False, **more)
    if done.returncode:
        raise Missing("`%s` failed: %s" % (" ".join(map(str, command[:3])), " ".join((done.stdout or "").split())[-200:]))
    return done.stdout.strip()


def serve(here, log, ready, command, environment=None, seconds=180):
    """Starts what stays, waits until it is ready, and returns its process."""
    with open(log, "wb") as out:
        child = subprocess.Popen([str(word) for word in command], env=dict(os.environ, **(environment or {})), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    here.processes.append(child)
    end = time.monotonic() + seconds
    while not ready():
        if child.poll() is not None or time.monotonic() > end:
            raise Missing("%s did not start: %s" % (os.path.basename(str(command[0])), " ".join(log.read_text().split())[-200:]))
        time.sleep(0.05)
    return child.pid


def packages():
    """Debian's packages here: size in KB, what each depends on, whether it is of a minimal system."""
    form = "${Package}\t${db:Status-Abbrev}\t${Installed-Size}\t${Pre-Depends}, ${Depends}\t${Provides}\t${Priority}\n"
    found, provided = {}, {}
    for line in run(["dpkg-query", "-W", "-f", form], stderr=subprocess.DEVNULL).splitlines():
        name, status, size, depends, provides, priority = line.split("\t")
        if status.startswith("ii"):
            wanted = [[re.split(r"[ (:]", one.strip())[0] for one in either.split("|")] for either in depends.split(",") if either.strip()]
            found[name] = (int(size or 0), wanted, priority == "required")
            provided.update((re.split(r"[ (]", one.strip())[0], name) for one in provides.split(",") if one.strip())
    return found, provided


def closure(names, found, provided):
    todo, taken = list(names), set()
    while todo:
        name = todo.pop()
        name = name if name in found else provided.get(name)
        if name and name not in taken:
            taken.add(name)
            todo += [next((one for one in either if one in found or one in provided), "") for either in found[name][1]]
    return taken


def sizes(*names):
    """MB of packages alone, and of all that they need and a minimal Debian lacks."""
    if not shutil.which("dpkg-query"):
        raise Missing("its size is that of Debian's packages, and there is no dpkg here")
    found, provided = packages()
    absent = [name for name in names if name not in found]
    if absent:
        raise Missing("not installed from Debian: " + ", ".join(absent))
    needed = closure(names, found, provided) - closure([name for name in found if found[name][2]], found, provided)
    return sum(found[name][0] for name in names) / 1e3, sum(found[name][0] for name in needed) / 1e3


def file_size(*paths):
    return sum(os.path.getsize(path) for path in paths) / 1e6


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def ours(here):
    url, ca = here.manager("--auto-approve", "127.0.0.1")
    enrollment, agent, manager = (str(lab.BIN / name) for name in ("enrollment", "linux_patch_api", "linux_patch_manager"))
    arguments, status = process.prepare(here.work / "host0", url, ca, 0), here.work / "status.json"
    run([enrollment, arguments])
    options = ["--config", here.work / "host0/config.yaml", "--listen", "127.0.0.1:%d" % free_port(), "--state-dir", here.work / "host0/state"]
    listening = serve(here, here.work / "agent.log", status.exists, [agent, *options, "--status-file", status])
    alone = file_size(enrollment)
    return Peer(
        "enrollment", ("`enrollment`", "`enrollment`"), [enrollment, arguments], lambda n: [[enrollment, process.prepare(here.work / ("host%d" % n), url, ca, n)]],
        "chain, key, CRL and their times, identity, modes, owners, configuration, whitelist, what an interrupted run left", "whether the manager still knows the host: nothing is sent",
        "key, request with a token, approval without an administrator, download, verification; CA, certificate, key, CRL, whitelist and journal in place",
        alone, alone, stays="nothing; `linux_patch_api` (%.1f MB) if used" % file_size(agent), agent=listening, server=("`linux_patch_manager`", here.processes[0].pid, file_size(manager)),
    )  # fmt: skip


def openssl(here):
    name, work = program("openssl", "openssl"), here.work / "openssl"
    work.mkdir()
    run([name, *("req -x509 %s -keyout ca.key -out ca.pem -subj /CN=ca -days 30" % KEY).split()], cwd=work)
    run([name, *("req %s -keyout host.key -out host.csr -subj /CN=host.example.com" % KEY).split()], cwd=work)
    run([name, *"x509 -req -in host.csr -CA ca.pem -CAkey ca.key -out host.pem -days 30".split()], cwd=work)
    return Peer(
        "openssl", ("`openssl verify`", "`openssl req`"), [name, "verify", "-CAfile", work / "ca.pem", work / "host.pem"],
        lambda n: [[name, *("req %s -keyout %s/%d.key -out %s/%d.csr -subj /CN=host%d.example.com" % (KEY, work, n, work, n, n)).split()]],
        "chain and times", "key, CRL, modes, owners, whether to renew", "key and request only: openssl sends nothing", *sizes("openssl"),
    )  # fmt: skip


def step(here):
    name, ca, work, port = tool("step"), tool("step-ca"), here.work / "step", free_port()
    work.mkdir()
    environment, password = {"STEPPATH": str(work / "ca"), "HOME": str(work)}, work / "password"
    password.write_text("bench\n")
    init = ["--name", "bench", "--dns", "localhost", "--address", "127.0.0.1:%d" % port, "--provisioner", "bench", "--deployment-type", "standalone"]
    run([name, "ca", "init", *init, "--password-file", password], environment)
    server = serve(here, work / "log", lambda: lab.listens("127.0.0.1", port), [ca, "--password-file", password, work / "ca/config/ca.json"], environment)
    where = ["--ca-url", "https://localhost:%d" % port, "--root", work / "ca/certs/root_ca.crt"]

    def first(n):
        token = run([name, "ca", "token", "host%d.example.com" % n, "--password-file", password, *where], environment, stderr=subprocess.DEVNULL)
        return [[name, "ca", "certificate", *where, "--token", token, "host%d.example.com" % n, work / ("%d.crt" % n), work / ("%d.key" % n)]]

    run(first(0)[0], environment)
    renewing = serve(here, work / "renew", lambda: (work / "renew").stat().st_size, [name, "ca", "renew", "--daemon", *where, work / "0.crt", work / "0.key"], environment)
    return Peer(
        "step", ("`step certificate needs-renewal`", "`step ca certificate`"), [name, "certificate", "needs-renewal", "--expires-in", "1h", work / "0.crt"], first,
        "how much of one certificate's life is left", "chain, key, CRL, modes, owners", "key, request with a one-time token made before, certificate and key in place; no CRL",
        file_size(name), file_size(name), environment, 1, "`step ca renew --daemon`", renewing, server=("`step-ca`", server, file_size(ca)),
    )  # fmt: skip


def certmonger(here):
    name, getcert, work = program("certmonger", "certmonger"), program("getcert", "certmonger"), here.work / "certmonger"
    environment = {"CERTMONGER_%s_DIR" % kind: str(work / kind.lower()) for kind in ("REQUESTS", "CAS", "LOCAL_CA", "CONFIG")}
    environment |= {"CERTMONGER_TMPDIR": str(work / "tmp"), "CERTMONGER_PVT_ADDRESS": "unix:path=%s/socket" % work, "HOME": str(work)}
    for directory in [value for kind, value in environment.items() if "DIR" in kind]:
        os.makedirs(directory)
    daemon = serve(here, work / "log", (work / "socket").exists, [name, "-n", "-L", "-P", work / "socket"], environment)

    def first(n):
        return [[getcert, "request", "-w", "-c", "local", "-G", "ec", "-g", "256", "-N", "CN=host%d.example.com" % n, "-k", work / ("%d.key" % n), "-f", work / ("%d.pem" % n)]]

    run(first(0)[0], environment)
    return Peer(
        "certmonger", ("`getcert list`", "`getcert request -c local`"), [getcert, "list", "-f", work / "0.pem"], first,
        "what its daemon has noted: the certificate's times and the state of its request", "chain, CRL, modes, owners; the files themselves, which the daemon reads when it starts or renews",
        "key, request, signed on this host by certmonger's own CA, which is in the figure; no network", *sizes("certmonger"), environment, 0, "`certmonger`", daemon, daemon,
    )  # fmt: skip


ICINGA2 = """const NodeName = "%(cn)s"
object Endpoint "bench" { host = "127.0.0.1"; port = "%(port)d" }
object Zone "bench" { endpoints = [ "bench" ] }
%(agent)s
object ApiListener "api" { ticket_salt = "bench"; bind_host = "127.0.0.1"; bind_port = %(listen)d }
"""
ICINGA2_AGENT = 'object Endpoint NodeName {}\nobject Zone NodeName { endpoints = [ NodeName ]; parent = "bench" }\n'


def icinga2(here):
    name, work, port = program("icinga2", "icinga2-bin"), here.work / "icinga2", free_port()
    environment = {"ICINGA2_USER": pwd.getpwuid(os.getuid()).pw_name, "ICINGA2_GROUP": grp.getgrgid(os.getgid()).gr_name}

    def paths(host):
        directories = {kind: work / host / kind for kind in ("DataDir", "CacheDir", "LogDir", "SpoolDir", "InitRunDir")}
        for directory in (*directories.values(), work / host / "DataDir/certs", work / host / "DataDir/ca"):
            directory.mkdir(parents=True, exist_ok=True)
        return ["-D%s=%s" % one for one in (*directories.items(), ("ConfigDir", work / host))]

    def daemon(host, listen, **more):
        config, log = work / host / "icinga2.conf", work / host / "log"
        config.write_text(ICINGA2 % dict(more, port=port, listen=listen))
        return serve(here, log, lambda: "Activated all objects" in log.read_text(), [name, "daemon", *paths(host), "-c", config], environment)

    def first(n, certs=work):
        key, cert, parent = (certs / ("host%d.example.com.%s" % (n, kind)) for kind in ("key", "crt", "parent"))
        there = ["--host", "127.0.0.1", "--port", str(port), "--trustedcert", parent]
        ticket = run([name, "pki", "ticket", "--cn", "host%d.example.com" % n, "--salt", "bench"], environment)
        return [[name, "pki", "new-cert", "--cn", "host%d.example.com" % n, "--key", key, "--cert", cert], [name, "pki", "save-cert", *there],
                [name, "pki", "request", *there, "--key", key, "--cert", cert, "--ca", certs / "ca.crt", "--ticket", ticket]]  # fmt: skip

    master, host = work / "master/DataDir/certs", work / "host/DataDir/certs"
    run([name, "pki", "new-ca", *paths("master")], environment)
    run([name, "pki", "new-cert", "--cn", "bench", "--key", master / "bench.key", "--csr", work / "csr"], environment)
    run([name, "pki", "sign-csr", *paths("master"), "--csr", work / "csr", "--cert", master / "bench.crt"], environment)
    shutil.copy(master.parent / "ca/ca.crt", master)
    server = daemon("master", port, cn="bench", agent="")
    paths("host")
    for command in first(0, host):
        run(command, environment)
    agent = daemon("host", free_port(), cn="host0.example.com", agent=ICINGA2_AGENT)
    alone, needs = sizes("icinga2-bin", "icinga2-common")
    return Peer(
        "icinga2", ("`icinga2 pki verify`", "`icinga2 pki new-cert`, `save-cert`, `request`"), [name, "pki", "verify", "--cert", host / "host0.example.com.crt", "--cacert", host / "ca.crt"], first,
        "chain and times", "key, CRL, modes, owners, whether to renew", "RSA 4096 key; the server's certificate is taken as it comes; request with a ticket made before; CA and certificate in place; no CRL",
        alone, needs, environment, 0, "`icinga2 daemon`, no checks configured", agent, server=("`icinga2 daemon`", server, needs),
    )  # fmt: skip


PUPPET = """[main]
ssldir=%(work)s/ssl
vardir=%(work)s/var
codedir=%(work)s/code
rundir=%(work)s/run
logdir=%(work)s/log
publicdir=%(work)s/public
server=localhost
serverport=%(port)d
certname=%(name)s
[server]
cadir=%(work)s/ca
autosign=true
"""
# With TLS 1.3, Debian 12's puppet waits 30 s before its last request: Ruby 3.1
# takes a session ticket that arrived for the end of the connection.
PUPPETSERVER = {
    "webserver": "client-auth: want, ssl-host: 127.0.0.1, ssl-port: %(port)d, ssl-protocols: [TLSv1.2]",
    "global": "logging-config: %(work)s/logback.xml",
    "product": "check-for-updates: false",
    "jruby-puppet": "ruby-load-path: [/usr/lib/puppetserver/ruby/vendor_ruby], gem-home: %(work)s/var/gems, gem-path: [%(work)s/var/gems, /usr/lib/puppetserver/vendored-jruby-gems],"
    " server-conf-dir: %(work)s, server-code-dir: %(work)s/code, server-var-dir: %(work)s/var, server-run-dir: %(work)s/run, server-log-dir: %(work)s/log, max-active-instances: 1",
}
LOGBACK = '<configuration><appender name="O" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%m%n</pattern></encoder></appender><root level="info"><appender-ref ref="O"/></root></configuration>\n'


def puppetserver(here, work, port):
    """Debian's server with its own configuration, but for its paths and its port."""
    ca, java, installed = program("puppetserver", "puppetserver"), program("java", "default-jre-headless"), pathlib.Path("/usr/share/puppetserver")
    shutil.copytree("/etc/puppet/puppetserver/conf.d", work / "conf.d")
    (work / "conf.d/puppetserver.conf").unlink()
    for section, text in PUPPETSERVER.items():
        (work / "conf.d" / (section + ".conf")).write_text("%s: { %s }\n" % (section, text % {"work": work, "port": port}))
    (work / "logback.xml").write_text(LOGBACK)
    (work / "puppet.conf").write_text(PUPPET % {"work": work, "port": port, "name": "localhost"})
    (work / "code/environments/production").mkdir(parents=True)
    run([ca, "ca", "setup", "--config", work / "puppet.conf"], {"HOME": str(work)})
    command = [java, "-Xms1g", "-Xmx1g", "-Djruby.logger.class=com.puppetlabs.jruby_utils.jruby.Slf4jLogger", "-Djruby.lib=/usr/share/jruby/lib", "-jar", installed / "puppetserver.jar"]
    log = work / "server.log"
    return serve(here, log, lambda: "Puppet Server has successfully started" in log.read_text(), [*command, "--config", work / "conf.d", "--bootstrap-config", "/etc/puppet/puppetserver/services.d"])


def puppet(here):
    name, work, host, port = program("puppet", "puppet-agent"), here.work / "puppet", here.work / "puppet-host", free_port()
    host.mkdir()
    (host / "puppet.conf").write_text(PUPPET % {"work": host, "port": port, "name": "host0.example.com"})
    work.mkdir()
    server, environment = puppetserver(here, work, port), {"HOME": str(host)}

    def first(n):
        return [[name, "ssl", "bootstrap", "--confdir", host, "--certname", "host%d.example.com" % n, "--ssldir", host / ("ssl%d" % n)]]

    own = ["--confdir", host, "--ssldir", host / "ssl0"]
    run(first(0)[0], environment)
    summary = host / "public/last_run_summary.yaml"
    agent = serve(here, host / "log.txt", summary.exists, [name, "agent", "--no-daemonize", "--logdest", "console", *own], environment)
    return Peer(
        "puppet", ("`puppet ssl verify`", "`puppet ssl bootstrap`"), [name, "ssl", "verify", *own], first,
        "chain, key, CRL and their times", "modes, owners, whether to renew", "RSA 4096 key; CA and CRL are downloaded and taken as they come; request signed without an administrator; all in place",
        *sizes("puppet-agent"), environment, 0, "`puppet agent`, an empty catalog", agent, server=("`puppetserver`, 1 GB of heap", server, sizes("puppetserver")[1]),
    )  # fmt: skip


PEERS = {"openssl": openssl, "step, step-ca": step, "certmonger": certmonger, "icinga2": icinga2, "puppet": puppet}
