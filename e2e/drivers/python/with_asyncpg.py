"""asyncpg: always the extended protocol in binary, implicit prepared statements, executemany, cursors, COPY."""

import asyncio
import io
import ssl
import threading

import asyncpg

import matrix
from matrix import READ, Report, env, require


async def connect(root=None):
    # asyncpg reads PGSSLROOTCERT only beside a DSN's own sslmode, so the context is made here.
    context = ssl.create_default_context(cafile=root or env("PGSSLROOTCERT"))
    return await asyncpg.connect(ssl=context, timeout=10)


def sqlstate_of(error):
    # asyncpg's text of an error goes on with DETAIL and HINT; `message` is the server's own field.
    return getattr(error, "sqlstate", None), getattr(error, "message", None) or str(error)


async def check_reads(report, conn):
    with report.check("read: parameters, binary"):
        sql = "SELECT id, $6::text, $1::numeric, $2::bytea, $3::int[] FROM public.customers WHERE id = $4 AND email LIKE $5"
        row = tuple(await conn.fetchrow(sql, 12.5, b"\x00\xff", [1, None, 3], 7, "%@%", "Zoë"))
        require(row[:2] == (7, "Zoë") and row[3:] == (b"\x00\xff", [1, None, 3]), f"got {row}")
    with report.check("read: prepared statement reused"):
        statement = await conn.prepare("SELECT id FROM public.orders WHERE id = $1")
        for n in range(1, 201):
            require(await statement.fetchval(n) == n, f"row {n}")
    with report.check("read: large result"):
        require(len(await conn.fetch(matrix.LARGE)) == matrix.LARGE_ROWS, "rows are missing")
    with report.check("read: large result, portal with a fetch size"):
        async with conn.transaction():
            rows = 0
            async for _ in conn.cursor(matrix.LARGE, prefetch=5000):
                rows += 1
        require(rows == matrix.LARGE_ROWS, f"{rows} rows")
    with report.check("read: COPY TO STDOUT"):
        out = io.BytesIO()
        await conn.copy_from_query("SELECT id, status FROM public.orders", output=out)
        require(out.getvalue().count(b"\n") == await conn.fetchval(READ), "rows are missing")
    with report.check("introspection: types of a table"):
        statement = await conn.prepare("SELECT * FROM public.orders")
        names = [column.name for column in statement.get_attributes()]
        require("status" in names, f"got {names}")


async def check_pipeline(report, conn):
    """executemany sends every Bind and Execute ahead of one Sync."""
    sql, rows = "UPDATE public.orders SET status = $1 WHERE id = $2", [("x", n) for n in range(1, 51)]
    if matrix.MODE == "plain":
        with report.check("pipeline: executemany, rolled back"):
            transaction = conn.transaction()
            await transaction.start()
            await conn.executemany(sql, rows)
            require(await conn.fetchval(matrix.UNTOUCHED) == 50, "the writes had no effect")
            await transaction.rollback()
            require(await conn.fetchval(matrix.UNTOUCHED) == 0, "rows were changed")
        return
    with report.check("pipeline: executemany is refused, none of it runs"):
        try:
            await conn.executemany(sql, rows)
        except asyncpg.PostgresError as error:
            matrix.require_refused(*sqlstate_of(error))
        else:
            raise AssertionError("the writes were not refused")
        require(await conn.fetchval(matrix.UNTOUCHED) == 0, "rows were changed")


def main():
    report = Report("asyncpg")
    loop = asyncio.new_event_loop()
    # The loop runs in a thread of its own, so that the shared checks can wait for it like for any other driver.
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def wait(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)

    conn = wait(connect())
    last = {}

    def run(sql):
        if sql.startswith("SELECT"):
            return wait(conn.fetch(sql))
        last["tag"] = wait(conn.execute(sql))
        return None

    with report.check("connect: TLS, verified") as note:
        note(f"asyncpg {asyncpg.__version__}")
        require(conn._transport.get_extra_info("ssl_object") is not None, "the connection is not encrypted")
    matrix.check_stranger(report, lambda root: wait(connect(root)), (OSError, asyncpg.PostgresError))
    wait(check_reads(report, conn))
    matrix.check_writes(report, run, sqlstate_of, lambda: last["tag"])
    wait(check_pipeline(report, conn))
    sleeping = []

    def sleep():
        future = asyncio.run_coroutine_threadsafe(conn.fetch("SELECT pg_sleep(30)"), loop)
        sleeping[:] = [future]
        try:
            future.result(60)
        finally:
            # The task ends at once; the connection is free only when the server has answered the CancelRequest.
            run(READ)

    # asyncpg keeps the server's answer to itself, so the SQLSTATE of a cancelled task is taken as given.
    matrix.check_cancel(
        report,
        sleep,
        lambda: sleeping[0].cancel(),
        lambda error: ("57014" if type(error).__name__ == "CancelledError" else sqlstate_of(error)[0], str(error)),
    )
    with report.check("cancel: by statement timeout of the driver"):
        try:
            wait(conn.fetch("SELECT pg_sleep(30)", timeout=0.3))
        except TimeoutError:
            pass
        require(run(READ)[0][0] > 0, "no rows")
    with report.check("still usable at the end"):
        require(run(READ)[0][0] > 0, "no rows")
        wait(conn.reset())
        require(run(READ)[0][0] > 0, "no rows after reset()")
        wait(conn.close())
    report.exit()


main()
