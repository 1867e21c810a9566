"""The tests of asyncpg, from its source distribution."""

from stand import stand
from suites import python_tests

VERSION = python_tests.pinned("asyncpg")
# They look at asyncpg's own source text, or start servers of their own.
LEFT_OUT = ["--ignore=tests/test__sourcecode.py", "--ignore=tests/test__environment.py",
            "--ignore=tests/test_subinterpreters.py"]


def fetch(cache, _programs):
    return python_tests.fetch(cache, "asyncpg", VERSION)


def compare(ready, programs, binary, keep):
    python, tests = ready
    # The pools of its tests log in to a database of this name, whatever PGDATABASE says.
    with stand(programs, binary, "postgres") as both:
        return python_tests.compare(python, tests, both, keep, "asyncpg", LEFT_OUT, dict)
