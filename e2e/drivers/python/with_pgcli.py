"""pgcli: the completion refresh its prompt starts with, and a query and a refused write by `pgcli -c`."""

import os
import subprocess
import sys
import tempfile

import pgcli
from pgcli.completion_refresher import CompletionRefresher
from pgcli.pgexecute import PGExecute
from pgspecial.main import PGSpecial

import matrix
from matrix import READ, TABLES, Report, env, require

BINARY = os.path.join(os.path.dirname(sys.executable), "pgcli")


def pgcli_command(*commands):
    # A home of its own: pgcli writes its configuration and history there at its first start.
    with tempfile.TemporaryDirectory() as home:
        arguments = [word for command in commands for word in ("-c", command)]
        settings = {**os.environ, "HOME": home, "XDG_CONFIG_HOME": home, "PAGER": "cat", "TERM": "dumb"}
        return subprocess.run(
            [BINARY, "--no-password", "--yes", *arguments],
            env=settings, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )


def check_completion(report):
    with report.check("introspection: completion refresh") as note:
        executor = PGExecute(env("PGDATABASE"), env("PGUSER"), env("PGPASSWORD"), env("PGHOST"), env("PGPORT"), "")
        done, refresher = [], CompletionRefresher()
        # What pgcli runs in a thread behind its prompt, here to the end.
        refresher._bg_refresh(executor, PGSpecial(), done.append, settings={"single_connection": True})
        tables = done[0].dbmetadata["tables"].get("public", {})
        require(set(TABLES) <= set(tables), f"completes tables {sorted(tables)}")
        require("status" in tables["orders"], f"completes columns {list(tables['orders'])}")
        note(f"{len(done[0].dbmetadata['functions'].get('pg_catalog', {}))} functions of pg_catalog")


def main():
    report = Report("pgcli")
    check_completion(report)
    with report.check("read: pgcli -c") as note:
        ran = pgcli_command(READ, "SELECT id, 'Zoë ' || id AS said FROM public.orders ORDER BY id LIMIT 3")
        require(ran.returncode == 0 and "Zoë 1" in ran.stdout, f"exit {ran.returncode}: {ran.stdout} {ran.stderr}")
        note(f"pgcli {pgcli.__version__}")
    for command in ("\\dt", "\\d public.orders", "\\l", "\\du", "\\df", "\\dn"):
        with report.check(f"introspection: {command}"):
            ran = pgcli_command(command)
            said = ran.stdout + ran.stderr
            require(ran.returncode == 0 and "permission denied" not in said and "BLY-" not in said, f"exit {ran.returncode}: {said}")
    if matrix.MODE != "plain":
        with report.check("write: refused, next command works"):
            ran = pgcli_command(matrix.WRITE, READ)
            said = ran.stdout + ran.stderr
            wanted = "[BLY-1001]" if matrix.MODE == "belay" else "read-only transaction"
            require(wanted in said, f"exit {ran.returncode}: {said}")
    report.exit()


main()
