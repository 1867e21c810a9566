-- The most rows that one transaction of a grant under a rule may be asked to change at once.

ALTER TABLE rules ADD COLUMN max_changed_rows INTEGER NOT NULL DEFAULT 10000;
