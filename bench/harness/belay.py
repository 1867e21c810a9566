"""Builds and starts Belay as it is run in earnest: every protection on. The one place that knows how; nothing else here does."""

from .servers import Stage, Target


class NotReady(Exception):
    """Belay cannot be measured; the text says why."""


def build(root: str) -> None:
    """The release build of the gateway, into `root`/target/release/belay.

    To be filled in: `cargo build --quiet --release -p belay-cli`.
    """
    raise NotReady("bench/harness/belay.py does not know yet how to build and start it")


def start_belay(stage: Stage, postgres: Target, certificates: tuple[str, str, str]) -> Target:
    """A gateway in front of `postgres` with one live read grant on the whole database `bench`.

    To be filled in; the steps, in order:
    1. `belay server` with its data in `stage.path("belay")`, TLS with `certificates` (authority, certificate, key), the
       PostgreSQL listener on `free_port()`, and no limit of sessions below `servers.CONNECTIONS`, nor one of the
       grant's role; by `stage.start("belay", command, port)`, so that the returned pid is the gateway's own.
    2. over the HTTP API: an administrator, a target `bench` (HOST:postgres.port, superuser `postgres` by trust, cleartext
       onward as PgBouncer's), a rule that grants reads at once, a request for all of it, its grant and its token.
    3. `Target("belay", port, pid, user=..., password=token, database="bench", ca=certificates[0])`.
    """
    raise NotReady("bench/harness/belay.py does not know yet how to start it")
