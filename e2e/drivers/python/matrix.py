"""What the Python programs of the matrix share: the report, the expectations of a mode, and the checks that
are the same words in each driver. It opens no connection of its own."""

import contextlib
import json
import os
import statistics
import threading
import time
import traceback

MODE = os.environ.get("BELAY_DRIVERS_MODE", "belay")
STRANGER_CA = os.environ.get("BELAY_DRIVERS_STRANGER_CA", "")
CANCEL_MS = 200
LARGE_ROWS = 100_000
LARGE = f"SELECT g AS n, md5(g::text) AS h FROM generate_series(1, {LARGE_ROWS}) AS g"
READ = "SELECT count(*) FROM public.orders"
WRITE = "UPDATE public.orders SET status = 'x'"
UNTOUCHED = "SELECT count(*) FROM public.orders WHERE status = 'x'"
TABLES = ("customers", "items", "orders")


def env(name):
    """A setting every program of the matrix needs; missing is a usage error, not a failed check."""
    try:
        return os.environ[name]
    except KeyError:
        raise SystemExit(f"drivers: `{name}` is not set") from None


def require(condition, text):
    if not condition:
        raise AssertionError(text)


def require_refused(sqlstate, message):
    """The refusal a read grant gives: SQLSTATE 25006 and, from Belay, its code as the last thing in the message."""
    require(sqlstate == "25006", f"SQLSTATE {sqlstate}, wanted 25006: {message}")
    if MODE == "belay":
        require(message.rstrip().endswith("[BLY-1001]"), f"the message does not end with [BLY-1001]: {message}")


class Report:
    """One JSON line a check on stdout; a failed check does not stop the ones after it."""

    def __init__(self, driver):
        self.driver = driver
        self.failed = 0

    @contextlib.contextmanager
    def check(self, name):
        notes, ok, started = [], True, time.monotonic()
        try:
            yield notes.append
        except Exception as error:
            ok = False
            self.failed += 1
            at = traceback.extract_tb(error.__traceback__)[-1]
            notes.append(f"{type(error).__name__}: {' '.join(str(error).split())[:300]} ({os.path.basename(at.filename)}:{at.lineno})")
        notes.append(f"{(time.monotonic() - started) * 1000:.0f} ms")
        line = {"driver": self.driver, "check": name, "ok": ok, "detail": "; ".join(notes)}
        print(json.dumps(line, ensure_ascii=False), flush=True)

    def exit(self):
        raise SystemExit(1 if self.failed else 0)


def check_stranger(report, connect, fails_with):
    """A server whose certificate another authority signed must not get so far as to see a login."""
    with report.check("tls: a stranger's CA is refused") as note:
        try:
            connect(STRANGER_CA)
        except fails_with as error:
            require("certificate" in str(error).lower(), f"refused for another reason: {error}")
            note(" ".join(str(error).split())[:60])
        else:
            raise AssertionError("connected although the server's certificate is not from the trusted authority")


def check_writes(report, run, sqlstate_of, tag=None):
    """The write checks, over `run(sql) -> rows` on one autocommit connection. `sqlstate_of(error)` gives the
    SQLSTATE and the message; `tag()` the last command tag, where the driver shows it."""

    def untouched():
        require(run(UNTOUCHED)[0][0] == 0, "rows were changed")

    def refused():
        try:
            run(WRITE)
        except Exception as error:
            require_refused(*sqlstate_of(error))
            return str(error).splitlines()[0]
        raise AssertionError("the write was not refused")

    if MODE == "plain":
        with report.check("write: rolled back"):
            run("BEGIN")
            run(WRITE)
            require(run(UNTOUCHED)[0][0] > 0, "the write had no effect")
            run("ROLLBACK")
            untouched()
        return

    with report.check("write: refused") as note:
        note(refused())
    with report.check("write: connection usable after it"):
        require(run(READ)[0][0] > 0, "no rows")
        untouched()
    with report.check("transaction: refused write fails it until rollback"):
        run("BEGIN")
        require(run(READ)[0][0] > 0, "no rows")
        refused()
        try:
            run(READ)
        except Exception as error:
            state, message = sqlstate_of(error)
            require(state == "25P02", f"SQLSTATE {state}, wanted 25P02: {message}")
        else:
            raise AssertionError("a read passed in a failed transaction")
        run("ROLLBACK")
        require(run(READ)[0][0] > 0, "no rows")
    with report.check("transaction: commit after a refused write rolls back") as note:
        run("BEGIN")
        refused()
        run("COMMIT")
        if tag:
            note(f"tag {tag()}")
            require(tag() == "ROLLBACK", f"COMMIT answered {tag()}")
        untouched()


def check_cancel(report, sleep, cancel, sqlstate_of):
    """Three cancels of a statement that runs; the median must be inside the bound. `sleep()` blocks."""
    with report.check("cancel: pg_sleep(30)") as note:
        times = [cancel_once(sleep, cancel, sqlstate_of) for _ in range(3)]
        note("answered after " + ", ".join(f"{ms:.0f}" for ms in times) + " ms")
        require(statistics.median(times) < CANCEL_MS, f"median over {CANCEL_MS} ms")


def cancel_once(sleep, cancel, sqlstate_of):
    ended = {}

    def blocked():
        try:
            sleep()
        except Exception as error:
            ended["error"] = error
        ended["at"] = time.monotonic()

    thread = threading.Thread(target=blocked, daemon=True)
    thread.start()
    time.sleep(0.4)
    asked = time.monotonic()
    cancel()
    thread.join(35)
    require("error" in ended, "the statement was not cancelled")
    state, message = sqlstate_of(ended["error"])
    require(state == "57014", f"SQLSTATE {state}, wanted 57014: {message}")
    require(ended["at"] >= asked, "cancelled before it was asked for, by the cancel of the statement before")
    return (ended["at"] - asked) * 1000
