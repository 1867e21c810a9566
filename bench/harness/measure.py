"""The three measurements, and the rounds that interleave them over the targets."""

import re
import subprocess
import sys
import time

from .client import Client
from .meter import Meter, resident

MODES = ("simple", "extended", "prepared")
BULK = {"copy": "COPY big TO STDOUT", "select": "SELECT * FROM big"}
CLIENTS = 8
# A run with more foreign load than this is repeated, as long as there is patience left.
FOREIGN = 0.15
REPEATS = 3
WARM_SESSIONS = 20


class Patience:
    """Seconds that may go into repeats over the whole run, so that a busy machine cannot stretch it without end."""

    def __init__(self, seconds):
        self.left = seconds

    def steady(self, run):
        """The least disturbed of a few runs; the first one if it was quiet."""
        best = None
        for _ in range(1 + REPEATS):
            started = time.monotonic()
            sample = run()
            if best is None or sample["foreign"] < best["foreign"]:
                best = sample
            if best["foreign"] <= FOREIGN or self.left <= 0:
                break
            time.sleep(min(1.0, self.left))
            self.left -= time.monotonic() - started
        return best


def rounds(targets, database, count, seconds, patience):
    """Each round measures every cell on every target; the target that begins moves on by one each round."""
    samples = []
    for number in range(count):
        order = targets[number % len(targets) :] + targets[: number % len(targets)]
        for mode in MODES:
            for target in order:
                sample = patience.steady(lambda target=target, mode=mode: transactions(target, database, mode, seconds))
                samples.append({"round": number, "test": mode, "target": target.name, **sample})
        for kind, sql in BULK.items():
            for target in order:
                sample = patience.steady(lambda target=target, sql=sql: bulk(target, database, sql))
                samples.append({"round": number, "test": kind, "target": target.name, **sample})
        print(f"bench: round {number + 1} of {count}", file=sys.stderr, flush=True)
    return samples


def transactions(target, database, mode, seconds):
    """CPU of the target per transaction of `pgbench -S`, in microseconds."""
    meter = Meter(target, database)
    command = [PGBENCH, "-n", "-S", "-M", mode, "-c", str(CLIENTS), "-j", "2", "-T", str(seconds)]
    ran = subprocess.run(command, env=target.environment(), capture_output=True, text=True, timeout=seconds + 60)
    cpu, foreign = meter.read()
    done = re.search(r"actually processed: (\d+)", ran.stdout)
    rate = re.search(r"^tps = ([\d.]+)", ran.stdout, re.M)
    if ran.returncode or not done or not int(done[1]):
        raise RuntimeError(f"pgbench -M {mode} against {target.name}: {ran.stderr.strip()[-400:]}")
    return {"cpu": cpu / int(done[1]) * 1e6, "rate": float(rate[1]), "foreign": foreign}


def bulk(target, database, sql):
    """CPU of the target per gigabyte of result, in milliseconds."""
    client = Client(target)
    try:
        meter = Meter(target, database)
        started = time.monotonic()
        # Twice, since the kernel counts CPU in ticks of 10 ms.
        received = client.query(sql) + client.query(sql)
        rate = received / (time.monotonic() - started) / 1e6
        cpu, foreign = meter.read()
    finally:
        client.close()
    return {"cpu": cpu / received * 1e12, "rate": rate, "foreign": foreign, "bytes": received}


def idle(target, count):
    """KiB of resident memory per session that has run one statement and waits. The first few sessions are not
    counted: what they make the process allocate once is not the price of a session."""
    sessions = []
    try:
        for number in range(WARM_SESSIONS + count):
            if number == WARM_SESSIONS:
                time.sleep(0.5)
                before = resident(target.pid)
            sessions.append(Client(target))
            sessions[-1].query("SELECT 1")
        time.sleep(1)
        return (resident(target.pid) - before) / count
    finally:
        for session in sessions:
            session.close()


PGBENCH = "pgbench"
