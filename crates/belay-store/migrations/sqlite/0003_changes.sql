-- Writes: those that take effect at once, plans, and change sets. Rows and texts are in sealed files, not here.

ALTER TABLE rules ADD COLUMN can_direct INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN can_direct INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN can_direct INTEGER NOT NULL DEFAULT 0;

-- `summary` is what changes table by table, without rows; `revert` what a plan to give rows back says beyond it.
CREATE TABLE plans (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    kind             TEXT NOT NULL CHECK (kind IN ('write', 'revert')),
    grant_id         INTEGER NOT NULL REFERENCES grants (id),
    session          INTEGER REFERENCES sessions (id),
    principal        TEXT NOT NULL REFERENCES users (name),
    target           TEXT NOT NULL,
    database         TEXT NOT NULL,
    state            TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'applied', 'lapsed', 'replaced')),
    made_at          INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    approvals_needed INTEGER NOT NULL,
    fingerprint      TEXT NOT NULL,
    row_count        INTEGER NOT NULL,
    unrepeatable     TEXT,
    denial           TEXT,
    revert           TEXT,
    summary          TEXT NOT NULL,
    file             TEXT,
    applied          INTEGER,
    replaced_by      INTEGER REFERENCES plans (id)
) STRICT;
CREATE INDEX plans_open ON plans (expires_at) WHERE state IN ('pending', 'approved');
CREATE INDEX plans_by_principal ON plans (principal);
CREATE INDEX plans_with_file ON plans (expires_at) WHERE file IS NOT NULL;

-- An approval is of the rows that were shown: it names their fingerprint.
CREATE TABLE plan_approvals (
    plan        INTEGER NOT NULL REFERENCES plans (id),
    approver    TEXT NOT NULL REFERENCES users (name),
    at          INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    PRIMARY KEY (plan, approver)
) STRICT;

CREATE TABLE changes (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    plan        INTEGER REFERENCES plans (id),
    grant_id    INTEGER NOT NULL REFERENCES grants (id),
    session     INTEGER REFERENCES sessions (id),
    principal   TEXT NOT NULL REFERENCES users (name),
    target      TEXT NOT NULL,
    database    TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('kept', 'committed', 'rolled_back', 'unknown')),
    transaction_id TEXT,
    made_at     INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    row_count   INTEGER NOT NULL,
    summary     TEXT NOT NULL,
    file        TEXT
) STRICT;
CREATE INDEX changes_unsettled ON changes (id) WHERE state IN ('kept', 'unknown');
CREATE INDEX changes_by_principal ON changes (principal);
CREATE INDEX changes_by_session ON changes (session);
CREATE INDEX changes_with_file ON changes (expires_at) WHERE file IS NOT NULL;

-- Which changes a change gives back.
CREATE TABLE change_reverts (
    change  INTEGER NOT NULL REFERENCES changes (id),
    reverts INTEGER NOT NULL REFERENCES changes (id),
    PRIMARY KEY (change, reverts)
) STRICT;
CREATE INDEX change_reverts_by_reverted ON change_reverts (reverts);
