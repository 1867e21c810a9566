"""Starts and stops what is measured: a PostgreSQL, a PgBouncer and the bare forwarders, each on 127.0.0.1 in a
temporary folder. It measures nothing."""

import contextlib
import os
import pwd
import random
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field

HOST = "127.0.0.1"
DATABASE = "bench"
START_SECONDS = 30
CONNECTIONS = 1200


class Missing(Exception):
    """Something is not installed; the text says in one line what to install."""


@dataclass
class Target:
    """One way to the database: where it listens, who logs in, and the process that is measured."""

    name: str
    port: int
    pid: int
    user: str = "bench"
    password: str = field(default="", repr=False)
    database: str = DATABASE
    ca: str = ""
    tls: bool = True

    def environment(self):
        """What libpq needs to connect, for pgbench and psql; the password is not in any argument."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
            "PGHOST": HOST, "PGPORT": str(self.port), "PGUSER": self.user, "PGPASSWORD": self.password, "PGDATABASE": self.database,
            "PGSSLMODE": "require" if self.tls else "disable", "PGGSSENCMODE": "disable", "PGPASSFILE": os.devnull,
        }


class Stage:
    """The temporary folder and the processes in it; leaving it ends them all."""

    def __init__(self, root):
        self.root = root
        self.folder = tempfile.mkdtemp(prefix="belay-bench-")
        os.chmod(self.folder, 0o755)
        self.password = secrets.token_hex(16)
        self.processes = []
        self.postgres_bin = find_postgres()
        # PostgreSQL and PgBouncer refuse to run as root.
        self.server_user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def own(self, *paths):
        for path in paths if self.server_user else ():
            os.chown(path, self.server_user.pw_uid, self.server_user.pw_gid)

    def write(self, path, text):
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(path, 0o600)
        self.own(path)
        return path

    def as_server(self):
        if self.server_user is None:
            return {}
        return {"user": self.server_user.pw_uid, "group": self.server_user.pw_gid, "extra_groups": []}

    def start(self, name, command, port, **more):
        """Starts a process and waits until it listens; the child is the measured process itself, not a wrapper."""
        log = open(self.path(f"{name}.log"), "wb")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, **more)
        log.close()
        self.processes.append(process)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
                return process.pid
            time.sleep(0.05)
        with open(self.path(f"{name}.log"), encoding="utf-8", errors="replace") as text:
            raise RuntimeError(f"{name} did not start: {text.read()[-600:]}")

    def run(self, command, **more):
        ran = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, **more)
        if ran.returncode:
            raise RuntimeError(f"{os.path.basename(command[0])}: {(ran.stderr or ran.stdout).strip()[-600:]}")
        return ran.stdout


def find_postgres():
    chosen = os.environ.get("BELAY_POSTGRES_BIN")
    if chosen:
        return chosen
    with contextlib.suppress(OSError):
        for version in sorted(os.listdir("/usr/lib/postgresql"), key=float, reverse=True):
            folder = f"/usr/lib/postgresql/{version}/bin"
            if all(os.path.exists(f"{folder}/{name}") for name in ("postgres", "initdb", "pgbench")):
                return folder
    raise Missing("no PostgreSQL server; install with: sudo apt-get install postgresql postgresql-contrib")


def find(name, package):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not found:
        raise Missing(f"no {name}; install with: sudo apt-get install {package}")
    return found


def free_port():
    # Below 32768, where the kernel takes no ports for outgoing connections.
    for _ in range(100):
        port = random.randrange(20000, 32000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((HOST, port))
            return port
    raise RuntimeError("no free port")


def make_certificates(stage):
    """An authority and one certificate that every server of the run uses, so that handshakes cost the same."""
    openssl = find("openssl", "openssl")
    ca, ca_key, key, request, certificate = (stage.path(n) for n in ("ca.pem", "ca.key", "server.key", "server.csr", "server.pem"))
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    stage.run([openssl, "req", "-x509", *curve, "-days", "2", "-subj", "/CN=bench authority", "-keyout", ca_key, "-out", ca])
    stage.run([openssl, "req", *curve, "-subj", "/CN=localhost", "-keyout", key, "-out", request])
    names = stage.write(stage.path("names"), f"subjectAltName=DNS:localhost,IP:{HOST}\n")
    signer = ["-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-extfile", names]
    stage.run([openssl, "x509", "-req", "-in", request, *signer, "-days", "2", "-out", certificate])
    stage.own(key, certificate)
    return ca, certificate, key


def start_postgres(stage, certificates, scale, rows):
    ca, certificate, key = certificates
    data, port, owner = stage.path("data"), free_port(), stage.as_server()
    os.mkdir(data, 0o700)
    stage.own(data)
    stage.run([f"{stage.postgres_bin}/initdb", "-D", data, "-U", "postgres", "-A", "trust", "--locale=C.UTF-8", "--no-sync"], **owner)
    with open(os.path.join(data, "postgresql.conf"), "a", encoding="utf-8") as conf:
        conf.write(
            f"port = {port}\nlisten_addresses = '{HOST}'\nunix_socket_directories = ''\nmax_connections = {CONNECTIONS}\n"
            f"ssl = on\nssl_cert_file = '{certificate}'\nssl_key_file = '{key}'\n"
            "shared_buffers = 512MB\nfsync = off\nautovacuum = off\nmax_wal_size = 4GB\nmax_parallel_workers_per_gather = 0\n"
        )
    stage.write(os.path.join(data, "pg_hba.conf"), f"host all postgres {HOST}/32 trust\nhost all all {HOST}/32 scram-sha-256\n")
    pid = stage.start("postgres", [f"{stage.postgres_bin}/postgres", "-D", data], port, **owner)
    target = Target("direct", port, pid, password=stage.password, ca=ca)
    fill(stage, port, scale, rows)
    return target


def admin(stage, port, *statements, database=DATABASE):
    """Runs statements as the superuser; on standard input, since one of them holds a password."""
    command = [f"{stage.postgres_bin}/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", HOST, "-p", str(port), "-U", "postgres", "-d", database]
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return stage.run(command, input=";\n".join(statements) + ";\n")
        except RuntimeError as error:
            if "starting up" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def fill(stage, port, scale, rows):
    admin(stage, port, f"CREATE ROLE bench LOGIN PASSWORD '{stage.password}'", f"CREATE DATABASE {DATABASE} OWNER bench", database="postgres")
    environment = {**os.environ, "PGPASSWORD": stage.password}
    stage.run(
        [f"{stage.postgres_bin}/pgbench", "-i", "-q", "-s", str(scale), "-h", HOST, "-p", str(port), "-U", "bench", DATABASE], env=environment
    )
    admin(
        stage, port, "SET ROLE bench",
        "CREATE TABLE big AS SELECT i AS id, repeat(md5(i::text), 6) AS txt, i * 17 AS n, timestamptz '2026-01-01' + i * interval '1 s' AS ts"
        f" FROM generate_series(1, {rows}) AS i",
    )
    # Hint bits are set once, here, and not by whoever happens to be measured first.
    admin(stage, port, "VACUUM (FREEZE, ANALYZE)")
    admin(stage, port, "CHECKPOINT")


def start_pgbouncer(stage, postgres, certificates):
    """Session mode, as Belay pins a server connection to a client; SCRAM and TLS from the client, cleartext onward."""
    _, certificate, key = certificates
    port = free_port()
    users = stage.write(stage.path("users"), f'"bench" "{stage.password}"\n')
    ini = stage.write(
        stage.path("pgbouncer.ini"),
        f"[databases]\n{DATABASE} = host={HOST} port={postgres.port}\n[pgbouncer]\nlisten_addr = {HOST}\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {users}\npool_mode = session\nmax_client_conn = 2000\n"
        f"default_pool_size = {CONNECTIONS - 100}\nclient_tls_sslmode = require\nclient_tls_cert_file = {certificate}\n"
        f"client_tls_key_file = {key}\nserver_tls_sslmode = disable\nlog_connections = 0\nlog_disconnections = 0\n",
    )
    pid = stage.start("pgbouncer", [find("pgbouncer", "pgbouncer"), "-q", ini], port, **stage.as_server())
    return Target("pgbouncer", port, pid, password=stage.password, ca=certificates[0])


def start_forwarder(stage, postgres, certificates, tls):
    port = free_port()
    name = "forwarder-tls" if tls else "forwarder"
    binary = os.path.join(stage.root, "target", "release", "forwarder")
    command = [binary, f"{HOST}:{port}", f"{HOST}:{postgres.port}", *(certificates[1:] if tls else ())]
    return Target(name, port, stage.start(name, command, port), password=stage.password, ca=certificates[0], tls=tls)
