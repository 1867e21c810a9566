-- Definitions of every common kind, and what goes wrong with them.
CREATE SCHEMA app;
SET search_path = app, public;
CREATE DOMAIN app.email AS text CHECK (VALUE ~ '@');
CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE app.people (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, mail app.email, mood app.mood DEFAULT 'ok',
    upper_name text GENERATED ALWAYS AS (upper(name)) STORED);
CREATE TABLE app.notes (id serial, person int REFERENCES app.people ON DELETE CASCADE, body text);
CREATE INDEX ON app.notes (person) INCLUDE (body);
CREATE UNIQUE INDEX CONCURRENTLY notes_id ON app.notes (id);
CREATE VIEW app.happy AS SELECT id, name FROM app.people WHERE mood = 'happy' WITH CHECK OPTION;
CREATE MATERIALIZED VIEW app.totals AS SELECT mood, count(*) FROM app.people GROUP BY 1;
CREATE TABLE app.days (day date, n int) PARTITION BY RANGE (day);
CREATE TABLE app.days_1 PARTITION OF app.days FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE FUNCTION app.twice(n int) RETURNS int LANGUAGE sql IMMUTABLE RETURN n * 2;
CREATE FUNCTION app.stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE 'row % of %', NEW.id, TG_TABLE_NAME; RETURN NEW; END $$;
CREATE TRIGGER stamp BEFORE INSERT ON app.people FOR EACH ROW EXECUTE FUNCTION app.stamp();
CREATE PROCEDURE app.fill(n int) LANGUAGE plpgsql AS $$
BEGIN FOR i IN 1..n LOOP INSERT INTO app.people (name, mood) VALUES ('p' || i, 'happy'); COMMIT; END LOOP; END $$;
CALL app.fill(3);
INSERT INTO app.people (name, mail) VALUES ('x', 'no');
INSERT INTO app.people (id, name) VALUES (1, 'again');
INSERT INTO app.happy (name) VALUES ('not seen');
INSERT INTO app.days VALUES ('1999-01-01', 1);
REFRESH MATERIALIZED VIEW app.totals;
TABLE app.totals;
ALTER TABLE app.people ADD COLUMN age int CHECK (age > 0), ALTER COLUMN name TYPE varchar(40);
ALTER TABLE app.people RENAME COLUMN age TO years;
CREATE POLICY own ON app.people USING (name = current_user);
ALTER TABLE app.people ENABLE ROW LEVEL SECURITY;
CREATE RULE quiet AS ON DELETE TO app.notes DO INSTEAD NOTHING;
CREATE ROLE passthrough_friend NOLOGIN;
GRANT SELECT ON app.people TO passthrough_friend;
REVOKE ALL ON app.people FROM passthrough_friend;
COMMENT ON TABLE app.people IS 'those who are here';
SECURITY LABEL ON TABLE app.people IS 'x';
CREATE EXTENSION hstore;
SELECT 'a=>1'::hstore -> 'a';
CREATE EVENT TRIGGER seen ON ddl_command_end EXECUTE FUNCTION app.stamp();
VACUUM (ANALYZE) app.people;
CLUSTER app.people USING people_pkey;
REINDEX TABLE app.people;
ALTER SYSTEM SET work_mem = '5MB';
ALTER SYSTEM RESET work_mem;
CREATE TABLESPACE nowhere LOCATION '/does/not/exist';
CREATE DATABASE passthrough_other TEMPLATE template0;
DROP DATABASE passthrough_other;
TRUNCATE app.people CASCADE;
DROP ROLE passthrough_friend;
\d app.people
DROP SCHEMA app CASCADE;
