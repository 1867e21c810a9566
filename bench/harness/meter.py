"""Reads /proc: CPU and memory of a process tree, and how much of the machine others used meanwhile."""

import os
import time

TICKS = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count()
# A process that ends during a run is counted in its parent once it was reaped.
REAP_SECONDS = 0.2


def tree(root):
    """The process and all beneath it."""
    children = {}
    for name in os.listdir("/proc"):
        fields = stat(name) if name.isdigit() else None
        if fields:
            children.setdefault(int(fields[1]), []).append(int(name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def stat(pid):
    """The fields of /proc/PID/stat after the name, which may itself hold blanks and brackets."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None


def cpu(root):
    """Seconds of user and system time of the tree, those of reaped children included."""
    found = (stat(pid) for pid in tree(root))
    return sum(sum(int(ticks) for ticks in fields[11:15]) for fields in found if fields) / TICKS


def resident(root):
    """KiB resident in the tree."""
    total = 0
    for pid in tree(root):
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8") as file:
                total += next((int(line.split()[1]) for line in file if line.startswith("VmRSS")), 0)
        except OSError:
            continue
    return total


def machine():
    """Seconds in which the machine was busy: user, nice, system, interrupts, steal."""
    with open("/proc/stat", encoding="utf-8") as file:
        ticks = file.readline().split()[1:]
    return sum(int(ticks[n]) for n in (0, 1, 2, 5, 6, 7)) / TICKS


def own():
    """Seconds used by this program and the clients it has run."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Meter:
    """From its making to `read()`: CPU of the target, and the share of all cores that went to others."""

    def __init__(self, target, database):
        self.target, self.database = target.pid, database.pid
        self.before = self.now()

    def now(self):
        base = 0 if self.database == self.target else cpu(self.database)
        return time.monotonic(), machine(), cpu(self.target), base, own()

    def read(self):
        time.sleep(REAP_SECONDS)
        wall, busy, target, base, clients = (b - a for a, b in zip(self.before, self.now(), strict=True))
        foreign = max(0.0, busy - target - base - clients) / wall / CORES
        return target, foreign
