-- Times are microseconds since 1970 in UTC. Lists are JSON. Secrets are hashed, sealed or verifiers.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE users (
    name          TEXT PRIMARY KEY,
    password_hash TEXT,
    roles         TEXT NOT NULL,
    user_groups   TEXT NOT NULL,
    disabled      INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE api_tokens (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    user         TEXT NOT NULL REFERENCES users (name),
    hash         BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    label        TEXT NOT NULL,
    shown        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;
CREATE INDEX api_tokens_by_user ON api_tokens (user);

-- A removed target stays for a while, so that what was left in it can be ended.
CREATE TABLE targets (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL,
    protocol   TEXT NOT NULL,
    host       TEXT NOT NULL,
    port       INTEGER NOT NULL,
    database   TEXT NOT NULL,
    user       TEXT NOT NULL,
    tls        TEXT NOT NULL,
    ca_pem     TEXT,
    key_id     TEXT NOT NULL,
    nonce      BLOB NOT NULL CHECK (length(nonce) = 12),
    sealed     BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    removed_at INTEGER
) STRICT;
CREATE UNIQUE INDEX targets_by_name ON targets (name) WHERE removed_at IS NULL;

-- A removed rule stays, because requests name it.
CREATE TABLE rules (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    target        TEXT,
    user_group    TEXT,
    from_minute   INTEGER,
    to_minute     INTEGER,
    can_read      INTEGER NOT NULL,
    can_write     INTEGER NOT NULL,
    max_seconds   INTEGER NOT NULL,
    approvals     INTEGER NOT NULL,
    extendable    INTEGER NOT NULL,
    record_values INTEGER NOT NULL,
    removed_at    INTEGER,
    CHECK (approvals > 0 OR can_write = 0)
) STRICT;

CREATE TABLE requests (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    requester        TEXT NOT NULL REFERENCES users (name),
    target           TEXT NOT NULL,
    resources        TEXT NOT NULL,
    can_read         INTEGER NOT NULL,
    can_write        INTEGER NOT NULL,
    seconds          INTEGER NOT NULL,
    reason           TEXT NOT NULL,
    break_glass      INTEGER NOT NULL,
    rule             INTEGER REFERENCES rules (id),
    approvals_needed INTEGER NOT NULL,
    extendable       INTEGER NOT NULL,
    record_values    INTEGER NOT NULL,
    state            TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'withdrawn', 'lapsed')),
    created_at       INTEGER NOT NULL,
    decide_by        INTEGER NOT NULL,
    denial           TEXT
) STRICT;
CREATE INDEX requests_pending ON requests (decide_by) WHERE state = 'pending';
CREATE INDEX requests_by_requester ON requests (requester);

CREATE TABLE approvals (
    request  INTEGER NOT NULL REFERENCES requests (id),
    approver TEXT NOT NULL REFERENCES users (name),
    at       INTEGER NOT NULL,
    PRIMARY KEY (request, approver)
) STRICT;

CREATE TABLE grants (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    request          INTEGER NOT NULL UNIQUE REFERENCES requests (id),
    principal        TEXT NOT NULL REFERENCES users (name),
    target           TEXT NOT NULL,
    resources        TEXT NOT NULL,
    can_read         INTEGER NOT NULL,
    can_write        INTEGER NOT NULL,
    state            TEXT NOT NULL CHECK (state IN ('ready', 'active', 'lapsed', 'expired', 'revoked')),
    granted_at       INTEGER NOT NULL,
    use_by           INTEGER NOT NULL,
    ends_at          INTEGER NOT NULL,
    extendable       INTEGER NOT NULL,
    record_values    INTEGER NOT NULL,
    break_glass      INTEGER NOT NULL,
    reviewed_by      TEXT REFERENCES users (name),
    review_note      TEXT,
    ended_at         INTEGER,
    ended_by         TEXT REFERENCES users (name),
    token_hash       BLOB UNIQUE CHECK (length(token_hash) = 32),
    scram_iterations INTEGER,
    scram_salt       BLOB,
    stored_key       BLOB CHECK (length(stored_key) = 32),
    server_key       BLOB CHECK (length(server_key) = 32)
) STRICT;
CREATE INDEX grants_live ON grants (ends_at) WHERE state IN ('ready', 'active');
CREATE INDEX grants_by_principal ON grants (principal, target);

CREATE TABLE sessions (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    grant_id           INTEGER NOT NULL REFERENCES grants (id),
    principal          TEXT NOT NULL,
    target             TEXT NOT NULL,
    state              TEXT NOT NULL CHECK (state IN ('open', 'closed')),
    started_at         INTEGER NOT NULL,
    ended_at           INTEGER,
    cut_in_transaction INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX sessions_one_open ON sessions (grant_id) WHERE state = 'open';
CREATE INDEX sessions_by_principal ON sessions (principal);

-- Events of acts that only took rights away while the ledger could not be written.
CREATE TABLE owed_events (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL
) STRICT;
