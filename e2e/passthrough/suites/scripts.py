"""This project's own scripts for psql: what a grant of everything must carry as it is."""

import difflib
import os
import re
import subprocess

from stand import HERE, stand

FOLDER = os.path.join(HERE, "scripts")
LIMIT = 120


def fetch(_cache, _programs):
    return sorted(name for name in os.listdir(FOLDER) if name.endswith(".sql"))


def output(programs, environment, name):
    """Everything psql says about a script, errors with their SQLSTATE in their place."""
    with open(os.path.join(FOLDER, name), encoding="utf-8", errors="replace") as script:
        first = script.readline()
    words = [os.path.join(programs, "psql"), "-X", "-a", "-q", "-v", "VERBOSITY=verbose", "-f", name]
    env = {**{k: v for k, v in os.environ.items() if not k.startswith("PG")}, **environment, "PGPASSFILE": os.devnull}
    # A script may ask for start-up options in its first line.
    if first.startswith("-- PGOPTIONS: "):
        env["PGOPTIONS"] = first.removeprefix("-- PGOPTIONS: ").strip()
    if first.startswith("-- PGCLIENTENCODING: "):
        env["PGCLIENTENCODING"] = first.removeprefix("-- PGCLIENTENCODING: ").strip()
    ran = subprocess.run(words, cwd=FOLDER, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, timeout=LIMIT)
    said = ran.stdout.decode("utf-8", "backslashreplace")
    # The one thing that two servers cannot have in common.
    return f"exit {ran.returncode}\n" + re.sub(r"\bPID \d+", "PID N", said)


def compare(names, programs, binary, keep):
    with stand(programs, binary, "scripts") as both:
        through = {name: output(programs, both.through, name) for name in names}
        direct = {name: output(programs, both.direct, name) for name in names}
    if keep:
        save(keep, direct, through)

    def details(name):
        lines = difflib.unified_diff(direct[name].splitlines(), through[name].splitlines(), "direct", "through", n=0,
                                     lineterm="")
        return "\n    ".join(list(lines)[:20])

    return direct, through, details


def save(keep, direct, through):
    os.makedirs(keep, exist_ok=True)
    for side, outputs in (("direct", direct), ("through", through)):
        for name, text in outputs.items():
            if direct.get(name) != through.get(name):
                with open(os.path.join(keep, f"{name}.{side}"), "w", encoding="utf-8") as file:
                    file.write(text)
