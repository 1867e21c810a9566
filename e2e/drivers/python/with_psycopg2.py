"""psycopg2: client-side parameters over the simple protocol, a server-side cursor, COPY, cancel over PQcancel."""

import io

import psycopg2

import matrix
from matrix import READ, Report, require


def connect(root=None):
    conn = psycopg2.connect(connect_timeout=10, **({"sslrootcert": root} if root else {}))
    conn.autocommit = True
    return conn


def sqlstate_of(error):
    return getattr(error, "pgcode", None), getattr(getattr(error, "diag", None), "message_primary", None) or str(error)


def check_reads(report, conn, run):
    with report.check("read: parameters"):
        row = run("SELECT id, %s FROM public.customers WHERE id = %s AND email LIKE %s", ("Zoë", 7, "%@%"))[0]
        require(row == (7, "Zoë"), f"got {row}")
    with report.check("read: PREPARE and EXECUTE reused"):
        run("PREPARE by_id(int) AS SELECT id FROM public.orders WHERE id = $1")
        for n in range(1, 101):
            require(run("EXECUTE by_id(%s)", (n,)) == [(n,)], f"row {n}")
        run("DEALLOCATE by_id")
    with report.check("read: large result"):
        require(len(run(matrix.LARGE)) == matrix.LARGE_ROWS, "rows are missing")
    with report.check("read: large result, server-side cursor"):
        conn.autocommit = False
        with conn, conn.cursor(name="large") as cursor:
            cursor.itersize = 5000
            cursor.execute(matrix.LARGE)
            require(sum(1 for _ in cursor) == matrix.LARGE_ROWS, "rows are missing")
        conn.autocommit = True
    with report.check("read: COPY TO STDOUT"):
        out = io.StringIO()
        with conn.cursor() as cursor:
            cursor.copy_expert("COPY public.orders TO STDOUT (FORMAT csv, HEADER)", out)
        require(out.getvalue().count("\n") == run(READ)[0][0] + 1, "rows are missing")


def check_session(report, conn, run):
    # psycopg2's own way to change a session's mode; a user who does so may not gain anything by it.
    if matrix.MODE != "belay":
        return
    with report.check("write: refused after set_session(readonly=False)"):
        conn.set_session(readonly=False, autocommit=False)
        try:
            run(matrix.WRITE)
        except psycopg2.Error as error:
            state, message = sqlstate_of(error)
            require(state in ("25006", "42501"), f"SQLSTATE {state}: {message}")
        else:
            raise AssertionError("the write was not refused")
        finally:
            conn.rollback()
            conn.set_session(readonly=None, autocommit=True)


def main():
    report = Report("psycopg2")
    conn = connect()
    last = conn.cursor()

    def run(sql, parameters=None):
        last.execute(sql, parameters)
        return last.fetchall() if last.description else None

    with report.check("connect: TLS, verified") as note:
        note(f"libpq {psycopg2.extensions.libpq_version()}")
        require(conn.info.ssl_in_use, "the connection is not encrypted")
    matrix.check_stranger(report, connect, psycopg2.OperationalError)
    check_reads(report, conn, run)
    matrix.check_writes(report, run, sqlstate_of, lambda: last.statusmessage)
    with report.check("pipeline: a refused statement in the middle of one message") as note:
        check_one_message(run, note)
    check_session(report, conn, run)
    matrix.check_cancel(report, lambda: run("SELECT pg_sleep(30)"), conn.cancel, sqlstate_of)
    with report.check("still usable at the end"):
        require(run(READ)[0][0] > 0, "no rows")
    report.exit()


def check_one_message(run, note):
    many = f"{READ}; {matrix.WRITE}; {READ}"
    if matrix.MODE == "plain":
        run(f"BEGIN; {many}; ROLLBACK")
    else:
        try:
            run(many)
        except psycopg2.Error as error:
            matrix.require_refused(*sqlstate_of(error))
            note(str(error).splitlines()[0])
        else:
            raise AssertionError("the write was not refused")
    require(run(matrix.UNTOUCHED)[0][0] == 0, "rows were changed")


main()
