"""Starts Belay as it is run in earnest: every protection on. The one place that knows how; nothing else here does."""

import os

from .servers import Stage, Target


class NotReady(Exception):
    """Belay cannot be started; the text says why."""


def start_belay(stage: Stage, postgres: Target, certificates) -> Target:
    """A gateway in front of `postgres` with one live read grant on the whole database `bench`.

    To be filled in; the steps, in order:
    1. `belay server` with its data in `stage.path("belay")`, TLS with `certificates` (authority, certificate, key), the
       PostgreSQL listener on `free_port()`, and neither a statement rate nor a session limit below `servers.CONNECTIONS`;
       by `stage.start("belay", command, port)`, so that the returned pid is the gateway's own.
    2. over the HTTP API: an administrator, a target `bench` (HOST:postgres.port, cleartext onward as PgBouncer's), a rule
       that grants reads at once, a request for `bench/**`, its grant and its token.
    3. `Target("belay", port, pid, user=..., password=token, database="bench", ca=certificates[0])`.
    """
    binary = os.environ.get("BELAY_BIN", os.path.join(stage.root, "target", "release", "belay"))
    if not os.path.exists(binary):
        raise NotReady(f"no gateway at {binary}; build it with: cargo build --release -p belay-cli")
    raise NotReady("bench/harness/belay.py does not know yet how to make a target, a rule and a grant")
