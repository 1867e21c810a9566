"""Running the test suite of a Python driver with pytest, whose results are one word a test."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as xml

HERE = os.path.dirname(os.path.abspath(__file__))
REQUIREMENTS = os.path.join(os.path.dirname(HERE), "requirements.txt")
LIMIT = 1500


def pinned(name):
    with open(REQUIREMENTS, encoding="utf-8") as lines:
        return next(line.strip().partition("==")[2] for line in lines if line.lower().startswith(name + "=="))


def call(words, **how):
    ran = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, **how)
    if ran.returncode:
        raise OSError(f"{' '.join(words[:6])}: {(ran.stderr or ran.stdout).strip().splitlines()[-1:]}")


def fetch(cache, distribution, version):
    """The interpreter with the drivers, and a folder that holds the tests of `distribution` and nothing else."""
    os.makedirs(cache, exist_ok=True)
    venv = os.path.join(cache, "python")
    stamp, wanted = venv + ".stamp", open(REQUIREMENTS, encoding="utf-8").read()
    if not os.path.exists(stamp) or open(stamp, encoding="utf-8").read() != wanted:
        shutil.rmtree(venv, ignore_errors=True)
        call([sys.executable, "-m", "venv", venv])
        call([os.path.join(venv, "bin", "pip"), "install", "--quiet", "--no-deps", "--requirement", REQUIREMENTS])
        with open(stamp, "w", encoding="utf-8") as file:
            file.write(wanted)
    tests = os.path.join(cache, f"{distribution}-{version}")
    if not os.path.isdir(tests):
        with tempfile.TemporaryDirectory() as folder:
            call([os.path.join(venv, "bin", "pip"), "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest",
                  folder, f"{distribution}=={version}"])
            (source,) = [name for name in os.listdir(folder) if name.endswith(".tar.gz")]
            with tarfile.open(os.path.join(folder, source)) as archive:
                archive.extractall(os.path.join(folder, "x"), filter="data")
            (root,) = os.listdir(os.path.join(folder, "x"))
            part = tests + ".part"
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(os.path.join(folder, "x", root, "tests"), os.path.join(part, "tests"))
            os.rename(part, tests)
    return os.path.join(venv, "bin", "python"), tests


def run(python, tests, environment, keep, name, *options):
    """-> each test with what became of it, and what was said of those that failed."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "results.xml")
        words = [python, "-m", "pytest", "-q", "--tb=native", "-p", "no:cacheprovider", "--junitxml", out, *options, "tests"]
        env = {**{k: v for k, v in os.environ.items() if not k.startswith("PG")}, **environment,
               "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1", "PGPASSFILE": os.devnull}
        try:
            ran = subprocess.run(words, cwd=tests, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                 timeout=LIMIT)
        except subprocess.TimeoutExpired as late:
            raise OSError(f"pytest did not end within {LIMIT} s") from late
        if keep:
            os.makedirs(keep, exist_ok=True)
            with open(os.path.join(keep, name + ".log"), "w", encoding="utf-8") as log:
                log.write(ran.stdout + ran.stderr)
        # 0: all passed; 1: some failed. Anything else is not a result.
        if ran.returncode not in (0, 1) or not os.path.exists(out):
            raise OSError(f"pytest: {(ran.stdout + ran.stderr).strip()[-400:]}")
        return results(out)


def results(path):
    outcomes, said = {}, {}
    for case in xml.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}".removeprefix("tests.")
        bad = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        outcomes[name] = "passed" if bad is None else bad.tag
        if bad is not None:
            said[name] = " ".join((bad.get("message") or "").split())[:300]
    return outcomes, said


def compare(python, tests, stand, keep, suite, options, environment):
    """Both ways, through Belay first; `environment` makes a suite's own variables of those of libpq."""
    through, said = run(python, tests, environment(stand.through), keep, suite + ".through", *options)
    direct, said_directly = run(python, tests, environment(stand.direct), keep, suite + ".direct", *options)

    def details(name):
        sides = ((direct, said_directly, "directly"), (through, said, "through Belay"))
        return "; ".join(f"{side.get(name)} {where} {words.get(name, '')}".strip() for side, words, where in sides)

    return direct, through, details
