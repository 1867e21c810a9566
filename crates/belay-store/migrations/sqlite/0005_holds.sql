-- Sessions whose records and rows may not be deleted, and sessions whose content was.

CREATE TABLE holds (
    session INTEGER PRIMARY KEY REFERENCES sessions (id),
    held_by TEXT NOT NULL,
    held_at INTEGER NOT NULL,
    reason  TEXT NOT NULL
) STRICT;

-- An erasure is ordered, then recorded, and done when nothing of the content is left.
CREATE TABLE erasures (
    session   INTEGER PRIMARY KEY REFERENCES sessions (id),
    erased_by TEXT NOT NULL REFERENCES users (name),
    erased_at INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    state     TEXT NOT NULL CHECK (state IN ('ordered', 'recorded', 'done'))
) STRICT;
