-- What a grant says beyond resources and effects: functions, row filters and budgets, as JSON. And the effect `all`.

ALTER TABLE rules ADD COLUMN can_all INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN can_all INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN bounds TEXT NOT NULL DEFAULT '{}';
ALTER TABLE grants ADD COLUMN can_all INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN bounds TEXT NOT NULL DEFAULT '{}';

-- Columns of a target whose values are not shown as they are.
CREATE TABLE masks (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    target     TEXT NOT NULL,
    resource   TEXT NOT NULL,
    kind       TEXT NOT NULL,
    made_at    INTEGER NOT NULL,
    removed_at INTEGER
) STRICT;
CREATE UNIQUE INDEX masks_by_column ON masks (target, resource) WHERE removed_at IS NULL;
