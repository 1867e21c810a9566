"""psycopg 3 on the libpq it ships: text and binary parameters, prepared statements, pipelines, COPY, cancel."""

import contextlib
import threading
import time

import psycopg
from psycopg import errors, pq

import matrix
from matrix import READ, UNTOUCHED, WRITE, Report, require, require_refused

ROUNDS = 60


def connect(root=None, **more):
    # libpq takes everything else from the PG* variables, as a user's own program would.
    return psycopg.connect(autocommit=True, connect_timeout=10, **({"sslrootcert": root} if root else {}), **more)


def sqlstate_of(error):
    return error.sqlstate, (error.diag.message_primary or str(error)) if isinstance(error, psycopg.Error) else str(error)


def check_connect(report, conn):
    with report.check("connect: TLS, verified") as note:
        note(f"libpq {pq.version()} ({pq.__impl__})")
        require(conn.pgconn.ssl_in_use, "the connection is not encrypted")
    matrix.check_stranger(report, connect, psycopg.OperationalError)
    with report.check("connect: channel binding and SCRAM required"):
        with connect(channel_binding="require", require_auth="scram-sha-256") as bound:
            require(bound.execute(READ).fetchone()[0] > 0, "no rows")
    with report.check("connect: protocol 3.2") as note:
        if pq.version() < 180000:
            return note("skipped: this libpq is older than 18")
        # An old server answers with the version it has; libpq 18 takes that unless a minimum is asked for.
        with connect(max_protocol_version="3.2") as latest:
            require(latest.execute(READ).fetchone()[0] > 0, "no rows")
            spoken = latest.pgconn.full_protocol_version if hasattr(latest.pgconn, "full_protocol_version") else "unknown"
            note(f"max_protocol_version=3.2 accepted, spoken {spoken}")
        try:
            with connect(min_protocol_version="3.2") as latest:
                note("min_protocol_version=3.2 accepted")
                return check_cancel(report, latest, "cancel: pg_sleep(30) over protocol 3.2")
        except psycopg.OperationalError as error:
            require(matrix.MODE != "belay", f"protocol 3.2 is not spoken: {error}")
            note("the server speaks 3.0 only")


def check_reads(report, conn):
    for binary in (False, True):
        with report.check(f"read: parameters, {'binary' if binary else 'text'}"):
            cursor = conn.cursor(binary=binary)
            sql = "SELECT id, %s::text, %s::numeric, %s::bytea, %s::int[] FROM public.customers WHERE id = %s AND email LIKE %s"
            row = cursor.execute(sql, ("Zoë", "12.50", b"\x00\xff", [1, None, 3], 7, "%@%"), binary=binary).fetchone()
            require(row == (7, "Zoë", row[2], b"\x00\xff", [1, None, 3]) and float(row[2]) == 12.5, f"got {row}")
    with report.check("read: prepared statement reused"):
        for n in range(1, 201):
            row = conn.execute("SELECT id FROM public.orders WHERE id = %s", (n,), prepare=True).fetchone()
            require(row == (n,), f"got {row}")
        require(conn.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()[0] >= 1, "nothing was prepared")
    with report.check("read: large result"):
        require(len(conn.execute(matrix.LARGE).fetchall()) == matrix.LARGE_ROWS, "rows are missing")
    with report.check("read: large result, server-side cursor"):
        with conn.transaction(), conn.cursor(name="large") as cursor:
            cursor.itersize = 5000
            require(sum(1 for _ in cursor.execute(matrix.LARGE)) == matrix.LARGE_ROWS, "rows are missing")
    with report.check("read: large result, row by row"):
        require(sum(1 for _ in conn.cursor().stream(matrix.LARGE)) == matrix.LARGE_ROWS, "rows are missing")
    with report.check("read: COPY TO STDOUT"):
        with conn.cursor().copy("COPY public.orders TO STDOUT") as copy:
            text = sum(1 for _ in copy.rows())
        with conn.cursor().copy("COPY (SELECT id FROM public.orders) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4"])
            binary = sum(1 for _ in copy.rows())
        require(text == binary > 0, f"{text} rows as text, {binary} as binary")


def check_pipeline(report, conn):
    if matrix.MODE == "plain":
        with report.check("pipeline: rolled back"):
            with conn.transaction(force_rollback=True), conn.pipeline():
                cursors = [conn.execute(sql) for sql in (READ, WRITE, UNTOUCHED)]
                require(cursors[2].fetchone()[0] > 0, "the write had no effect")
            require(conn.execute(UNTOUCHED).fetchone()[0] == 0, "rows were changed")
        return
    with report.check("pipeline: fails at the refused statement, later ones do not run"):
        before, write, after = conn.cursor(), conn.cursor(), conn.cursor()
        try:
            with conn.pipeline():
                before.execute(READ)
                write.execute(WRITE)
                after.execute(READ)
        except psycopg.Error as error:
            require_refused(*sqlstate_of(error))
        else:
            raise AssertionError("the pipeline did not fail")
        require(before.fetchone()[0] > 0, "the statement before it gave no rows")
        try:
            after.fetchone()
        except (psycopg.Error, psycopg.InterfaceError):
            pass
        else:
            raise AssertionError("a statement after it ran")
    with report.check("pipeline: next one after the sync works"):
        with conn.pipeline() as pipeline:
            for _ in range(2):
                first, second = conn.execute(READ), conn.cursor()
                try:
                    second.execute(WRITE)
                    pipeline.sync()
                except psycopg.Error as error:
                    if not isinstance(error, errors.PipelineAborted):
                        require_refused(*sqlstate_of(error))
                last = conn.execute(READ)
                require(first.fetchone() == last.fetchone(), "the reads differ")
        require(conn.execute(UNTOUCHED).fetchone()[0] == 0, "rows were changed")


def check_cancel(report, conn, name=None):
    def sleep():
        conn.execute("SELECT pg_sleep(30)")

    if name is None:
        return matrix.check_cancel(report, sleep, conn.cancel_safe, sqlstate_of)
    with report.check(name) as note:
        ms = matrix.cancel_once(sleep, conn.cancel_safe, sqlstate_of)
        note(f"answered after {ms:.0f} ms")
        require(ms < matrix.CANCEL_MS, f"over {matrix.CANCEL_MS} ms")


def check_cancel_ends_with_it(report, conn):
    """PostgreSQL signals a back end twice for one request. libpq waits until the other side of the cancel connection
    closes, which must not be before both signals are out: the second would hit the statement that comes next."""

    def sleep():
        with contextlib.suppress(errors.QueryCanceled):
            conn.execute("SELECT pg_sleep(30)")

    with report.check("cancel: the statement after it is not hit") as note:
        early = 0
        for _ in range(ROUNDS):
            thread = threading.Thread(target=sleep, daemon=True)
            thread.start()
            time.sleep(0.02)
            conn.cancel_safe()
            thread.join(1)
            if thread.is_alive():
                # On a busy machine the first may come before the statement has begun.
                early += 1
                conn.cancel_safe()
                thread.join(35)
            conn.execute("SELECT pg_sleep(0.01)")
        note(f"{ROUNDS} cancels, {early} of them too early")
        require(early < ROUNDS / 4, "cancels are lost")


def main():
    report = Report("psycopg 3")
    conn = connect()
    last = conn.cursor()

    def run(sql):
        last.execute(sql)
        return last.fetchall() if last.description else None

    check_connect(report, conn)
    check_reads(report, conn)
    matrix.check_writes(report, run, sqlstate_of, lambda: last.statusmessage)
    check_pipeline(report, conn)
    check_cancel(report, conn)
    matrix.check_cancel(report, lambda: conn.execute("SELECT pg_sleep(30)"), conn.cancel, sqlstate_of)
    check_cancel_ends_with_it(report, conn)
    with report.check("still usable at the end"):
        require(run(READ)[0][0] > 0, "no rows")
    report.exit()


main()
