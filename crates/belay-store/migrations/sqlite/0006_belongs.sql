-- To which sessions plans and changes belong: to their own, and to those whose changes they give back, in turn. What
-- belongs to several is held with any of them, and erased with any.

CREATE TABLE plan_sessions (
    plan    INTEGER NOT NULL REFERENCES plans (id),
    session INTEGER NOT NULL REFERENCES sessions (id),
    PRIMARY KEY (plan, session)
) STRICT, WITHOUT ROWID;
CREATE INDEX plan_sessions_by_session ON plan_sessions (session);

CREATE TABLE change_sessions (
    change  INTEGER NOT NULL REFERENCES changes (id),
    session INTEGER NOT NULL REFERENCES sessions (id),
    PRIMARY KEY (change, session)
) STRICT, WITHOUT ROWID;
CREATE INDEX change_sessions_by_session ON change_sessions (session);

WITH RECURSIVE part (change, of) AS (
    SELECT id, id FROM changes
    UNION SELECT part.change, r.reverts FROM part JOIN change_reverts r ON r.change = part.of
)
INSERT INTO change_sessions
SELECT DISTINCT part.change, of.session FROM part JOIN changes of ON of.id = part.of WHERE of.session IS NOT NULL;

INSERT INTO plan_sessions
SELECT id, session FROM plans WHERE session IS NOT NULL
UNION
SELECT plans.id, of.session
FROM plans, json_each(plans.revert, '$.changes') one
JOIN change_sessions of ON of.change = CAST(substr(one.value, 3) AS INTEGER)
WHERE plans.revert IS NOT NULL;
