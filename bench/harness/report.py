"""Ratios within a round, their median and range, and whether each bound is kept. It measures nothing."""

import statistics
from dataclasses import dataclass

from .measure import FOREIGN

TRANSACTIONS = ("simple", "extended", "prepared")
BULK = ("copy", "select")


@dataclass(frozen=True)
class Bound:
    """Own CPU (or memory) of the candidate, at most `limit` times that of `base`; with no base, at most `limit`."""

    test: str
    base: str | None
    limit: float | None
    unit: str = "times"


# README.md says where they come from. A bound of None is printed and not judged.
BOUNDS = (
    Bound("simple", "pgbouncer", 1.5),
    Bound("extended", "pgbouncer", None),
    Bound("prepared", "pgbouncer", 1.4),
    Bound("copy", "forwarder-tls", 1.3),
    Bound("select", "forwarder-tls", 1.3),
    Bound("copy", "forwarder", None),
    Bound("select", "forwarder", None),
    Bound("idle", None, 60.0, "KiB"),
)


def by_round(samples, test, target, value):
    return {sample["round"]: sample[value] for sample in samples if sample["test"] == test and sample["target"] == target}


def ratios(samples, test, target, base, value="cpu"):
    """Median, least and greatest of target / base, each pair from one round."""
    ours, theirs = by_round(samples, test, target, value), by_round(samples, test, base, value)
    pairs = [ours[number] / theirs[number] for number in ours if theirs.get(number)]
    return (statistics.median(pairs), min(pairs), max(pairs)) if pairs else None


def judge(samples, idle, candidate):
    """One verdict a bound: what was found, the limit, and whether it is kept (None: not judged)."""
    verdicts = []
    for bound in BOUNDS:
        if bound.base == candidate:
            continue
        if bound.base is None:
            found = (idle[candidate],) * 3 if candidate in idle else None
        else:
            found = ratios(samples, bound.test, candidate, bound.base)
        # A bound that could not be measured is a bound that is not kept.
        kept = None if bound.limit is None else found is not None and found[0] <= bound.limit
        median, least, greatest = found or (None, None, None)
        verdicts.append({
            "test": bound.test, "base": bound.base, "unit": bound.unit, "limit": bound.limit,
            "median": median, "min": least, "max": greatest, "kept": kept,
        })
    return verdicts


def print_tables(samples, idle, targets):
    print("\nown CPU per pgbench -S transaction, microseconds (median over the rounds), and in brackets the ratio to PgBouncer")
    table(samples, targets, TRANSACTIONS, "pgbouncer")
    print("\nown CPU per gigabyte of result, milliseconds, and in brackets the ratio to the forwarder with TLS")
    table(samples, targets, BULK, "forwarder-tls")
    print("\nthroughput as a ratio to a direct connection with TLS (on few cores client, proxy and server share them: not judged)")
    table(samples, targets, TRANSACTIONS + BULK, "direct", "rate")
    print("\nresident memory per idle TLS session, KiB")
    for target, kib in idle.items():
        print(f"  {target:<14} {kib:8.1f}")


def table(samples, targets, tests, base, value="cpu"):
    print(f"  {'':<14} " + " ".join(f"{test:>26}" for test in tests))
    for target in targets:
        if value == "cpu" and target == "direct":
            continue
        cells = (cell(samples, test, target, base, value) for test in tests)
        print(f"  {target:<14} " + " ".join(f"{text:>26}" for text in cells))


def cell(samples, test, target, base, value):
    found = list(by_round(samples, test, target, value).values())
    ratio = ratios(samples, test, target, base, value)
    if not found:
        return "-"
    shown = f"{statistics.median(found):.1f} " if value == "cpu" else ""
    return shown + (f"[{ratio[0]:.2f}, {ratio[1]:.2f}-{ratio[2]:.2f}]" if ratio else "")


def print_verdicts(verdicts, candidate):
    print(f"\nbounds for {candidate}")
    for verdict in verdicts:
        against = f" / {verdict['base']}" if verdict["base"] else ""
        found = "not measured" if verdict["median"] is None else f"{verdict['median']:.2f}"
        limit = "" if verdict["limit"] is None else f"at most {verdict['limit']:g} {verdict['unit']}"
        word = {True: "kept", False: "MISSED", None: "reported"}[verdict["kept"]]
        print(f"  {verdict['test'] + against:<26} {found:>12}  {limit:<20} {word}")


def disturbance(samples):
    """Median and worst share of the machine that others used, and how many runs were over the tolerance."""
    shares = [sample["foreign"] for sample in samples]
    over = sum(share > FOREIGN for share in shares)
    return {"median": statistics.median(shares), "worst": max(shares), "over": over, "runs": len(shares)}
