"""Builds and starts Belay as it is run in earnest: every protection on. The one place that knows how; nothing else here does."""

import os
import subprocess

from .servers import CONNECTIONS, HOST, Stage, Target, free_port

DATABASE = "bench"


class NotReady(Exception):
    """Belay cannot be measured; the text says why."""


def build(root: str) -> None:
    """The release build of the gateway, into `root`/target/release/belay."""
    subprocess.run(["cargo", "build", "--quiet", "--release", "-p", "belay-cli"], cwd=root, check=True)


def start_belay(stage: Stage, postgres: Target, certificates: tuple[str, str, str]) -> Target:
    """A gateway in front of `postgres` with one live read grant on the whole database `bench`.

    TLS to clients and the ledger on disk as always; cleartext onward, as PgBouncer's.
    """
    del certificates  # its own authority makes one of the same kind
    ports = {name: free_port() for name in ("postgres", "api", "admin")}
    config = stage.path("belay.toml")
    with open(config, "w", encoding="utf-8") as out:
        out.write(
            f'data_dir = "{stage.path("belay")}"\n[listen]\n'
            + "".join(f'{name} = "{HOST}:{port}"\n' for name, port in ports.items())
            + f"[limits]\nconnections = {CONNECTIONS * 2}\nconnections_per_session = {CONNECTIONS}\n"
        )
    binary = os.path.join(stage.root, "target", "release", "belay")
    pid = stage.start("belay", [binary, "server", "--config", config], ports["postgres"])
    environment = {**os.environ, "BELAY_HOME": stage.path("belay-home")}

    def belay(*arguments, given=""):
        return stage.run([binary, *arguments], env=environment, input=given)

    belay("login", "--local", stage.path("belay"))
    url = f"postgres://postgres@{HOST}:{postgres.port}/{DATABASE}?sslmode=disable"
    belay("target", "add", DATABASE, url, "--password-file", "-", "--no-check", given="\n")
    belay("rule", "add", "--approvals", "0", "--max", "8h")
    belay("request", DATABASE, "--for", "4h", "-m", "measure")
    belay("connect", DATABASE)
    service = stage.path("belay-home", "services", f"{DATABASE}.conf")
    with open(service, encoding="utf-8") as lines:
        settings = dict(line.strip().split("=", 1) for line in lines if "=" in line)
    return Target(
        "belay", ports["postgres"], pid, user=settings["user"], password=settings["password"], database=DATABASE,
        ca=stage.path("belay", "ca.pem"),
    )
