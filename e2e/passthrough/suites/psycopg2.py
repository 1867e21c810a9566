"""The tests of psycopg2, from its source distribution."""

from stand import stand
from suites import python_tests

VERSION = python_tests.pinned("psycopg2-binary")


def fetch(cache, _programs):
    return python_tests.fetch(cache, "psycopg2", VERSION)


def environment(libpq):
    return {**libpq, "PSYCOPG2_TESTDB": libpq["PGDATABASE"], "PSYCOPG2_TEST_REPL_DSN": ""}


def compare(ready, programs, binary, keep):
    python, tests = ready
    with stand(programs, binary, "psycopg2_test", max_wal_senders="10") as both:
        for server in both.servers:
            server.sql("CREATE EXTENSION hstore", both.database)
        return python_tests.compare(python, tests, both, keep, "psycopg2", [], environment)
