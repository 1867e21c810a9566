"""psql and pg_dump, as a person runs them: one process a check, output and exit code judged."""

import os
import re
import signal
import subprocess
import tempfile
import time

import matrix
from matrix import READ, TABLES, UNTOUCHED, WRITE, Report, require

DESCRIBE = [
    "\\d", "\\dt", "\\dt+", "\\d public.orders", "\\d+ public.orders", "\\d public.items", "\\l", "\\l+", "\\du", "\\df",
    "\\df+ public.*", "\\dn", "\\dn+", "\\dv", "\\di", "\\ds", "\\dp", "\\dT", "\\dx", "\\dd", "\\db", "\\det",
    "\\do+ public.*", "\\sf pg_catalog.pg_get_keywords", "\\conninfo", "\\encoding", "\\dconfig work_mem",
]


DATA_ONLY = ("--tuples-only", "--no-align")


def psql(*commands, script=None, settings=None, options=DATA_ONLY, stop=True):
    arguments = ["psql", "--no-psqlrc", "--no-password", *options]
    if stop:
        arguments += ["--set", "ON_ERROR_STOP=1"]
    arguments += ["--set", "VERBOSITY=verbose"]
    arguments += [word for command in commands for word in ("--command", command)]
    return subprocess.run(
        arguments, input=script, capture_output=True, text=True, timeout=60, env={**os.environ, **(settings or {})}
    )


def psql_ok(*commands, **more):
    ran = psql(*commands, **more)
    require(ran.returncode == 0, f"exit {ran.returncode}: {ran.stderr or ran.stdout}")
    return ran.stdout


def error_of(text):
    """SQLSTATE and message of the first error psql printed in its verbose form."""
    found = re.search(r"(?:ERROR|FATAL):\s+(\w{5}): (.*)", text)
    require(found, f"no error in: {text}")
    return found[1], found[2]


def check_connect(report):
    with report.check("connect: TLS, verified") as note:
        said = psql_ok("\\conninfo")
        require("SSL connection" in said, said)
        note(subprocess.run(["psql", "--version"], capture_output=True, text=True).stdout.strip())
    with report.check("connect: channel binding required"):
        psql_ok(READ, settings={"PGCHANNELBINDING": "require"})
    with report.check("connect: SCRAM required"):
        # PGREQUIREAUTH is read by libpq 16 and newer; older ones ignore it.
        psql_ok(READ, settings={"PGREQUIREAUTH": "scram-sha-256"})
    with report.check("connect: GSS encryption preferred, then TLS"):
        psql_ok(READ, settings={"PGGSSENCMODE": "prefer"})
    with report.check("tls: a stranger's CA is refused") as note:
        ran = psql(READ, settings={"PGSSLROOTCERT": matrix.STRANGER_CA})
        require(ran.returncode == 2 and "certificate verify failed" in ran.stderr, ran.stderr)
    with report.check("tls: no encryption is refused"):
        ran = psql(READ, settings={"PGSSLMODE": "disable"})
        require(ran.returncode == 2, "connected in cleartext")


def check_reads(report):
    with report.check("read: variables and \\gexec"):
        said = psql_ok(script="\\set id 7\nSELECT 'Zoë ' || id FROM public.customers WHERE id = :id;\nSELECT 'SELECT 40+2' \\gexec\n")
        require("Zoë 7" in said and "42" in said, said)
    with report.check("read: PREPARE and EXECUTE"):
        said = psql_ok(script="PREPARE p(int) AS SELECT id FROM public.orders WHERE id = $1;\nEXECUTE p(5);\nEXECUTE p(6);\n")
        require(said.split()[-2:] == ["5", "6"], said)
    with report.check("read: large result"):
        require(psql_ok(matrix.LARGE).count("\n") == matrix.LARGE_ROWS, "rows are missing")
    with report.check("read: large result by FETCH_COUNT"):
        require(psql_ok(matrix.LARGE, options=(*DATA_ONLY, "--set", "FETCH_COUNT=5000")).count("\n") == matrix.LARGE_ROWS, "rows are missing")
    with report.check("read: cursor by hand"):
        script = f"BEGIN;\nDECLARE c CURSOR FOR {matrix.LARGE};\nFETCH 10 FROM c;\nMOVE 100 IN c;\nFETCH 10 FROM c;\nCLOSE c;\nCOMMIT;\n"
        require(psql_ok(script=script).count("|") == 20, "rows are missing")
    with report.check("read: \\copy to and COPY TO STDOUT"):
        with tempfile.NamedTemporaryFile("r", suffix=".csv") as out:
            psql_ok(f"\\copy public.orders TO '{out.name}' CSV HEADER")
            rows = sum(1 for _ in out) - 1
        text = psql_ok("COPY (SELECT id FROM public.orders) TO STDOUT").count("\n")
        require(rows == text == int(psql_ok(READ)), f"{rows} rows by \\copy, {text} by COPY")
    with report.check("read: EXPLAIN"):
        require("orders" in psql_ok("EXPLAIN SELECT * FROM public.orders"), "no plan")


def check_describe(report):
    for command in DESCRIBE:
        with report.check(f"introspection: {command}"):
            ran = psql(command, options=())
            require(ran.returncode == 0 and "ERROR" not in ran.stderr, f"exit {ran.returncode}: {ran.stderr}")
            if command in ("\\d", "\\dt", "\\dt+"):
                require(all(table in ran.stdout for table in TABLES), ran.stdout)
            if command == "\\d public.orders":
                require("customer_id" in ran.stdout and "PRIMARY KEY" in ran.stdout, ran.stdout)
    # The settings of roles may hold secrets, so a gateway withholds the catalog that \drds reads.
    withheld = matrix.MODE == "belay"
    with report.check(f"introspection: \\drds {'is refused' if withheld else ''}".strip()) as note:
        ran = psql("\\drds", options=())
        if withheld:
            state, message = error_of(ran.stderr)
            require(ran.returncode == 1 and state == "42501", ran.stderr)
            note(message)
        else:
            require(ran.returncode == 0, ran.stderr)


def check_writes(report):
    if matrix.MODE == "plain":
        with report.check("write: rolled back"):
            said = psql_ok(script=f"BEGIN;\n{WRITE};\nROLLBACK;\n{UNTOUCHED};\n")
            require(said.split()[-1] == "0", said)
        return
    with report.check("write: refused, connection usable after it") as note:
        ran = psql(script=f"{WRITE};\n{READ};\n{UNTOUCHED};\n", stop=False)
        matrix.require_refused(*error_of(ran.stderr))
        note(ran.stderr.splitlines()[0])
        rows, changed = ran.stdout.split()
        require(int(rows) > 0 and changed == "0", ran.stdout)
    with report.check("write: COPY FROM STDIN and \\copy from are refused") as note:
        for copy in ("COPY public.customers FROM STDIN;", f"\\copy public.customers FROM {os.devnull}"):
            ran = psql(script=f"{copy}\nSELECT 'alive';\n", stop=False)
            state, message = error_of(ran.stderr)
            require(state == "25006" and "alive" in ran.stdout, ran.stderr + ran.stdout)
        note(message)
    with report.check("transaction: refused write fails it until rollback"):
        ran = psql(script=f"BEGIN;\n{READ};\n{WRITE};\n{READ};\nROLLBACK;\nSELECT 'alive';\n", stop=False)
        states = re.findall(r"ERROR:\s+(\w{5}):", ran.stderr)
        require(states == ["25006", "25P02"] and "alive" in ran.stdout, f"{states}: {ran.stderr}")
    with report.check("transaction: commit after a refused write answers ROLLBACK"):
        ran = psql(script=f"BEGIN;\n{WRITE};\nCOMMIT;\n{UNTOUCHED};\n", stop=False)
        require(ran.stdout.split() == ["BEGIN", "ROLLBACK", "0"], ran.stdout)
    with report.check("transaction: psql's ON_ERROR_ROLLBACK savepoints"):
        script = f"BEGIN;\n{READ};\n{WRITE};\nSELECT 'alive';\nCOMMIT;\n"
        ran = psql(script=script, stop=False, options=(*DATA_ONLY, "--set", "ON_ERROR_ROLLBACK=on"))
        require("alive" in ran.stdout, ran.stdout + ran.stderr)
    with report.check("pipeline: a refused statement in the middle of one message"):
        ran = psql(f"SELECT 'before'; {WRITE}; SELECT 'after'", stop=False)
        matrix.require_refused(*error_of(ran.stderr))
        require("after" not in ran.stdout, "the statement after it ran")


def check_cancel(report):
    """Ctrl-C in psql: SIGINT makes it send a CancelRequest over a second connection."""
    with report.check("cancel: Ctrl-C in pg_sleep(30)") as note:
        times = []
        for _ in range(3):
            process = subprocess.Popen(
                ["psql", "--no-psqlrc", "--no-password", "--set", "VERBOSITY=verbose", "--command", "SELECT pg_sleep(30)"],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )
            time.sleep(0.7)
            asked = time.monotonic()
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=35)[1]
            times.append((time.monotonic() - asked) * 1000)
            require("57014" in said, said)
        note("answered after " + ", ".join(f"{ms:.0f}" for ms in times) + " ms")
        require(sorted(times)[1] < matrix.CANCEL_MS, f"median over {matrix.CANCEL_MS} ms")


def pg_dump(*arguments):
    tables = [word for table in TABLES for word in ("--table", f"public.{table}")]
    return subprocess.run(
        ["pg_dump", "--no-password", *tables, *arguments], capture_output=True, text=True, timeout=120
    )


def check_dump(report):
    with report.check("pg_dump: granted tables") as note:
        ran = pg_dump()
        require(ran.returncode == 0, ran.stderr)
        copies = re.findall(r"^COPY (\S+)", ran.stdout, re.M)
        require(sorted(copies) == [f"public.{table}" for table in TABLES], f"copies {copies}")
        require(ran.stdout.count("\n") > 500, "rows are missing")
        note(f"{len(ran.stdout)} bytes")
    with report.check("pg_dump: schema only"):
        ran = pg_dump("--schema-only")
        require(ran.returncode == 0 and "CREATE TABLE public.orders" in ran.stdout, ran.stderr)
    with report.check("pg_dump: as inserts, serializable"):
        ran = pg_dump("--data-only", "--inserts", "--serializable-deferrable")
        require(ran.returncode == 0 and "INSERT INTO public.orders" in ran.stdout, ran.stderr)


def main():
    report = Report("psql")
    check_connect(report)
    check_reads(report)
    check_describe(report)
    check_writes(report)
    check_cancel(report)
    report.driver = "pg_dump"
    check_dump(report)
    report.exit()


main()
