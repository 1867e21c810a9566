-- Sessions whose records and rows may not be deleted, and sessions whose content was.

CREATE TABLE holds (
    session INTEGER PRIMARY KEY REFERENCES sessions (id),
    held_by TEXT NOT NULL,
    held_at INTEGER NOT NULL,
    reason  TEXT NOT NULL
) STRICT;

-- `done` is 0 until nothing of the content is left.
CREATE TABLE erasures (
    session   INTEGER PRIMARY KEY REFERENCES sessions (id),
    erased_by TEXT NOT NULL,
    erased_at INTEGER NOT NULL,
    done      INTEGER NOT NULL DEFAULT 0
) STRICT;
