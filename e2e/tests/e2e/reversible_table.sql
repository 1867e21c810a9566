-- What the statements of the table in docs/writes.md are run against. $port and $password are the server's own.
CREATE SCHEMA app;

CREATE TABLE app.orders (id int PRIMARY KEY, status text);
INSERT INTO app.orders SELECT n, 'open' FROM generate_series(1, 6) n;
CREATE TABLE app.lines (id int PRIMARY KEY, order_id int REFERENCES app.orders ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO app.lines SELECT n, n FROM generate_series(1, 6) n;
CREATE VIEW app.open_orders AS SELECT id, status FROM app.orders WHERE status = 'open';
CREATE MATERIALIZED VIEW app.counted AS SELECT count(*) FROM app.orders;

CREATE TABLE app.prices (id int PRIMARY KEY, price numeric, changed timestamptz DEFAULT '2026-01-01 00:00:00Z');
INSERT INTO app.prices SELECT n, n FROM generate_series(1, 3) n;
CREATE TABLE app.price_log (what text);
CREATE FUNCTION app.log_price() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO app.price_log VALUES (OLD.price || ' to ' || NEW.price);
    NEW.changed := now();
    RETURN NEW;
END $$;
CREATE TRIGGER log_price BEFORE UPDATE ON app.prices FOR EACH ROW EXECUTE FUNCTION app.log_price();

CREATE TABLE app.words (word text);
INSERT INTO app.words VALUES ('a'), ('a'), ('b');
CREATE TABLE app.tickets (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text);
INSERT INTO app.tickets (title) VALUES ('first');
CREATE TABLE app.measures (id int, region text) PARTITION BY LIST (region);
CREATE TABLE app.measures_eu PARTITION OF app.measures FOR VALUES IN ('eu');
CREATE TABLE app.measures_us PARTITION OF app.measures FOR VALUES IN ('us');
INSERT INTO app.measures VALUES (1, 'eu'), (2, 'us');
CREATE UNLOGGED TABLE app.cache (id int PRIMARY KEY, value text);
INSERT INTO app.cache VALUES (1, 'warm');
CREATE TABLE app.policed (id int PRIMARY KEY, owner text, note text);
INSERT INTO app.policed VALUES (1, 'everybody'), (2, 'nobody');
ALTER TABLE app.policed ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybodys ON app.policed USING (owner = 'everybody');
CREATE TABLE app.files (id int PRIMARY KEY, content oid);
INSERT INTO app.files VALUES (1, lo_create(4711));
CREATE TABLE app.scrap (id serial PRIMARY KEY, file int REFERENCES app.files, note text);
CREATE INDEX ON app.scrap (note);
INSERT INTO app.scrap (file, note) VALUES (1, 'kept');

CREATE FUNCTION app.pay(int) RETURNS void LANGUAGE sql AS 'UPDATE app.orders SET status = ''paid'' WHERE id = $1';
CREATE FUNCTION app.purge() RETURNS void LANGUAGE plpgsql AS 'BEGIN TRUNCATE app.cache; END';
CREATE PROCEDURE app.renumber() LANGUAGE plpgsql AS 'BEGIN UPDATE app.orders SET id = id + 100; END';
CREATE PROCEDURE app.in_steps() LANGUAGE plpgsql AS 'BEGIN UPDATE app.orders SET status = ''done'' WHERE id = 1; COMMIT; DELETE FROM app.orders; END';

CREATE EXTENSION postgres_fdw;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '$port', dbname '$database');
CREATE USER MAPPING FOR PUBLIC SERVER elsewhere OPTIONS (user 'postgres', password '$password');
CREATE FOREIGN TABLE app.far (id int, status text) SERVER elsewhere OPTIONS (schema_name 'app', table_name 'orders');
