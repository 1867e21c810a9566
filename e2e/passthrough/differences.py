"""The golden lists of what differs through Belay, each entry with its reason.

A file of a suite has one difference a line, `NAME: reason`; `#` begins a comment. NAME is a test, or with a `*` at its
end every test whose name begins so.
"""

import os

HERE = os.path.dirname(os.path.abspath(__file__))


def known(suite):
    """-> the reason of each known difference, by its name."""
    path = os.path.join(HERE, "differences", suite + ".txt")
    reasons = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if line.strip() and not line.startswith("#"):
                    name, _, reason = line.strip().partition(": ")
                    reasons[name] = reason
    return reasons


def reason_of(reasons, name):
    """The reason for a difference in `name`, where it is known."""
    starred = (reason for key, reason in reasons.items() if key.endswith("*") and name.startswith(key[:-1]))
    return reasons.get(name) or next(starred, None)


def report(suite, direct, through, details):
    """Prints how the results of a suite compare, by test; -> whether every difference is a known one."""
    reasons = known(suite)
    names = sorted(set(direct) | set(through))
    differing = [name for name in names if direct.get(name) != through.get(name)]
    unknown = [name for name in differing if reason_of(reasons, name) is None]
    print(f"{suite}: {len(names) - len(differing)} same, {len(differing)} different", flush=True)
    for name in differing:
        print(f"  {name}: {reason_of(reasons, name) or 'NOT KNOWN: ' + details(name)}", flush=True)
    if not names:
        print(f"  {suite}: nothing was run")
    return bool(names) and not unknown
