"""Two PostgreSQL servers that are alike, and a Belay in front of one of them.

Everything is in one temporary folder, and ends with the `with` block.
"""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PATIENCE = 60
SPAN = "4h"
# What the suites of PostgreSQL and of drivers ask of a server.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_prepared_transactions": "10",
    "max_connections": "150",
    "wal_level": "logical",
    "log_autovacuum_min_duration": "0",
    "log_lock_waits": "on",
    "log_temp_files": "128kB",
    "password_encryption": "scram-sha-256",
    "ssl": "on",
}


def free_port():
    """Below the ports that the kernel gives to clients, so that none of them takes it before the server does."""
    for _ in range(100):
        port = 20000 + secrets.randbelow(12000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise OSError("no free port")


def as_server(words):
    """PostgreSQL does not run as root."""
    return ["runuser", "-u", "postgres", "--", *words] if os.getuid() == 0 else words


def run(words, **how):
    ran = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, **how)
    if ran.returncode:
        raise OSError(f"{' '.join(words[:4])}: {ran.stderr.strip() or ran.stdout.strip()}")
    return ran.stdout


class Server:
    """A PostgreSQL with TLS and SCRAM."""

    def __init__(self, folder, name, programs, settings):
        self.data, self.programs, self.port = os.path.join(folder, name), programs, free_port()
        self.password = secrets.token_hex(16)
        self.ca = os.path.join(folder, "ca.pem")
        secret = os.path.join(folder, name + ".password")
        with open(secret, "w", encoding="ascii") as file:
            file.write(self.password)
        os.chmod(secret, 0o644)
        run(as_server([os.path.join(programs, "initdb"), "-D", self.data, "-U", "postgres", "-A", "scram-sha-256",
                       "--pwfile", secret, "--no-locale", "-E", "UTF8", "--no-sync"]), cwd="/")
        every = {**SETTINGS, **settings, "port": self.port, "listen_addresses": "'127.0.0.1'",
                 "unix_socket_directories": "''", "ssl_cert_file": f"'{folder}/server.pem'",
                 "ssl_key_file": f"'{folder}/server.key'"}
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as conf:
            conf.writelines(f"{key} = {value}\n" for key, value in every.items())
        with open(os.path.join(self.data, "pg_hba.conf"), "w", encoding="utf-8") as hba:
            hba.write("host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n")
        self.ctl("-l", os.path.join(self.data, "log"), "-w", "start")

    def ctl(self, *words):
        run(as_server([os.path.join(self.programs, "pg_ctl"), "-D", self.data, *words]), cwd="/")

    def environment(self, user=None, password=None, database="postgres"):
        return {"PGHOST": "localhost", "PGHOSTADDR": "127.0.0.1", "PGPORT": str(self.port),
                "PGUSER": user or "postgres", "PGPASSWORD": password or self.password, "PGDATABASE": database,
                "PGSSLMODE": "verify-full", "PGSSLROOTCERT": self.ca}

    def sql(self, text, database="postgres"):
        """As the superuser, not through anything."""
        psql = [os.path.join(self.programs, "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text]
        return run(psql, env={**os.environ, **self.environment(database=database)}).strip()

    def stop(self):
        with contextlib.suppress(OSError):
            self.ctl("-m", "immediate", "stop")


class Gateway:
    """A Belay with one administrator, who gets a grant of everything at once by rule."""

    def __init__(self, folder, binary):
        self.folder, self.binary = os.path.join(folder, "belay"), binary
        os.mkdir(self.folder, 0o700)
        self.port, api, admin = free_port(), free_port(), free_port()
        config = os.path.join(self.folder, "belay.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f'data_dir = "data"\n[listen]\npostgres = "127.0.0.1:{self.port}"\napi = "127.0.0.1:{api}"\n'
                       f'admin = "127.0.0.1:{admin}"\n[limits]\nconnections_per_session = 120\n')
        self.log = open(os.path.join(self.folder, "log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen([binary, "server", "--config", config], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        data = os.path.join(self.folder, "data")
        self.ca = os.path.join(data, "ca.pem")
        deadline = time.monotonic() + PATIENCE
        while not self.said("API on https"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise OSError("the gateway did not start: " + self.last_words())
            time.sleep(0.1)
        self.belay("login", "--local", data)

    def said(self, text):
        return text in self.whole_log()

    def whole_log(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as log:
            return log.read()

    def last_words(self):
        return "\n".join(self.whole_log().splitlines()[-20:])

    def belay(self, *words):
        env = {**os.environ, "BELAY_HOME": os.path.join(self.folder, "home")}
        env.pop("BELAY_CONFIG", None)
        return run([self.binary, "--no-input", *words], env=env)

    def grant(self, server, target, database):
        """A grant of everything on `database`, called `target`: its id, and how a client logs in with it."""
        secret = os.path.join(self.folder, "target.password")
        with open(secret, "w", encoding="ascii") as file:
            file.write(server.password)
        url = f"postgres://postgres@127.0.0.1:{server.port}/{database}?sslmode=verify-full"
        self.belay("target", "add", target, url, "--password-file", secret, "--ca", server.ca)
        self.belay("rule", "add", "--target", target, "--effect", "all", "--approvals", "1", "--max", SPAN)
        self.person("ann", "requester")
        self.person("bob", "approver")
        ask = ("request", target, "--effect", "all", "--for", SPAN, "-m", "passthrough suites")
        request = json.loads(self.belay_as("ann", "-o", "json", *ask))
        approved = json.loads(self.belay_as("bob", "-o", "json", "approve", request["id"]))
        grant = approved["grant"]["id"]
        token = json.loads(self.belay_as("ann", "-o", "json", "grants", "token", grant))
        return grant, {"PGHOST": "localhost", "PGHOSTADDR": "127.0.0.1", "PGPORT": str(self.port),
                       "PGUSER": f"ann+{grant}", "PGPASSWORD": token["secret"], "PGDATABASE": target,
                       "PGSSLMODE": "verify-full", "PGSSLROOTCERT": self.ca}

    def person(self, name, role):
        token = os.path.join(self.folder, name + ".token")
        self.belay("user", "add", name, "--role", role, "--token-file", token)
        with open(os.path.join(self.folder, "data", "api.url"), encoding="ascii") as file:
            url = file.read().strip()
        self.belay_as(name, "login", url, "--ca", self.ca, "--token-file", token)

    def belay_as(self, person, *words):
        env = {**os.environ, "BELAY_HOME": os.path.join(self.folder, "home-" + person)}
        env.pop("BELAY_CONFIG", None)
        return run([self.binary, "--no-input", *words], env=env)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


class Stand:
    """Two ways to a database of the same name in servers that are alike: `direct`, and `through` a Belay.

    The user of both is called the same in the database, so that what a server says of its user is the same too.
    """

    def __init__(self, folder, programs, binary, database, settings):
        self.folder, self.database = folder, database
        make_certificates(folder)
        self.servers = [Server(folder, name, programs, settings) for name in ("direct", "through")]
        self.gateway = None
        try:
            for server in self.servers:
                if database != "postgres":
                    server.sql(f'CREATE DATABASE "{database}" TEMPLATE template0')
            self.gateway = Gateway(folder, binary)
            self.grant, self.through = self.gateway.grant(self.servers[1], database, database)
            self.user = self.ask(self.through, "SELECT session_user")
            self.direct = self.alike()
        except BaseException:
            self.stop()
            raise

    def ask(self, environment, text):
        psql = [os.path.join(self.servers[0].programs, "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text]
        return run(psql, env={**os.environ, **environment}).strip()

    def alike(self):
        """A user of the first server like the one that the grant has in the second."""
        password = secrets.token_hex(16)
        self.servers[0].sql(f"CREATE ROLE \"{self.user}\" LOGIN SUPERUSER PASSWORD '{password}'")
        return self.servers[0].environment(self.user, password, self.database)

    def stop(self):
        if self.gateway:
            self.gateway.stop()
        for server in self.servers:
            server.stop()


def make_certificates(folder):
    at = lambda name: os.path.join(folder, name)
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority", "-keyout",
         at("ca.key"), "-out", at("ca.pem")])
    run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", at("server.key"),
         "-out", at("server.csr")])
    with open(at("names"), "w", encoding="ascii") as names:
        names.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    run(["openssl", "x509", "-req", "-in", at("server.csr"), "-CA", at("ca.pem"), "-CAkey", at("ca.key"),
         "-CAcreateserial", "-days", "2", "-out", at("server.pem"), "-extfile", at("names")])
    for name in ("ca.pem", "server.pem"):
        os.chmod(at(name), 0o644)
    if os.getuid() == 0:
        for name in ("server.key", "server.pem"):
            shutil.chown(at(name), "postgres")
    os.chmod(at("server.key"), 0o600)


@contextlib.contextmanager
def stand(programs, binary, database="postgres", **settings):
    with tempfile.TemporaryDirectory(prefix="belay-passthrough-") as folder:
        os.chmod(folder, 0o755)
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        started = Stand(folder, programs, binary, database, settings)
        try:
            yield started
        finally:
            started.stop()
