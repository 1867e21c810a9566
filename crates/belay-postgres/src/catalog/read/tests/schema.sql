CREATE SCHEMA app;

CREATE FUNCTION app.loud() RETURNS text VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION app.loud_equals(text, text) RETURNS bool VOLATILE LANGUAGE sql AS 'SELECT $1 = $2';
CREATE FUNCTION app.may_see(int) RETURNS bool STABLE LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION app.is_even(int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 % 2 = 0';

CREATE SEQUENCE app.numbers;
CREATE FUNCTION app.by_default(a int, b int DEFAULT nextval('app.numbers')) RETURNS int IMMUTABLE LANGUAGE sql
    AS 'SELECT a + b';
CREATE FUNCTION app.by_body() RETURNS int STABLE LANGUAGE sql BEGIN ATOMIC SELECT app.by_default(1); END;
CREATE FUNCTION app.with_out(a int, OUT b int, c text DEFAULT 'x', OUT d int) IMMUTABLE LANGUAGE sql
    AS 'SELECT a, length(c)';
CREATE PROCEDURE app.act(a int) LANGUAGE sql AS 'SELECT 1';

CREATE DOMAIN app.even AS int CHECK (app.is_even(value));
CREATE DOMAIN app.small_even AS app.even CHECK (value < 100);
CREATE DOMAIN app.drawn AS int CHECK (value <> nextval('app.numbers'));
CREATE TYPE app.pair AS (a int, b app.even);
CREATE FUNCTION app.pair_text(app.pair) RETURNS text IMMUTABLE LANGUAGE sql AS $$SELECT ($1).a || '/' || ($1).b$$;
CREATE CAST (app.pair AS text) WITH FUNCTION app.pair_text(app.pair) AS ASSIGNMENT;
CREATE FUNCTION app.many(app.pair, VARIADIC int[]) RETURNS int STABLE SECURITY DEFINER LANGUAGE sql AS 'SELECT 1';

CREATE FUNCTION app.compare_pairs(app.pair, app.pair) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT ($1).a - ($2).a';
CREATE FUNCTION app.pair_below(app.pair, app.pair) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT ($1).a < ($2).a';
CREATE OPERATOR app.<<< (LEFTARG = app.pair, RIGHTARG = app.pair, FUNCTION = app.pair_below);
CREATE OPERATOR CLASS app.pairs DEFAULT FOR TYPE app.pair USING btree
    AS OPERATOR 1 app.<<<, FUNCTION 1 app.compare_pairs(app.pair, app.pair);
CREATE FUNCTION app.span_distance(app.pair, app.pair) RETURNS float8 IMMUTABLE LANGUAGE sql AS 'SELECT 1.0::float8';
CREATE TYPE app.span AS RANGE (SUBTYPE = app.pair, SUBTYPE_DIFF = app.span_distance);

CREATE OPERATOR app.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = app.loud_equals);
CREATE FUNCTION app.add(int, int) RETURNS int VOLATILE SECURITY DEFINER LANGUAGE sql AS 'SELECT $1 + $2';
CREATE AGGREGATE app.total(int) (SFUNC = app.add, STYPE = int, INITCOND = '0');

CREATE TABLE app.people (id serial PRIMARY KEY, name text, gone int, "Age of" int, boss int REFERENCES app.people);
ALTER TABLE app.people DROP COLUMN gone;
CREATE TABLE app.staff (salary int, twice int GENERATED ALWAYS AS (salary * 2) STORED) INHERITS (app.people);
CREATE TABLE app.events (at int, what text) PARTITION BY RANGE (at);
CREATE TABLE app.events_1 PARTITION OF app.events FOR VALUES FROM (0) TO (10);
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE app.outside (a int) SERVER nowhere;

CREATE VIEW app.adults AS SELECT id, name, "Age of" FROM app.people WHERE "Age of" > 17;
CREATE VIEW app.loud_adults AS SELECT name, app.loud() FROM app.adults;
CREATE VIEW app.how_many AS SELECT count(*) FROM app.people;
CREATE VIEW app.as_rows AS SELECT p.id, row_to_json(p) AS all_of_it FROM app.people p;
CREATE VIEW app.where_it_lies AS SELECT ctid FROM app.people;
CREATE VIEW app.passwords AS SELECT rolname, rolpassword FROM pg_authid;
CREATE MATERIALIZED VIEW app.counted AS SELECT name, app.loud() FROM app.people;
CREATE VIEW app.by_operator AS SELECT 'a'::text OPERATOR(app.===) 'b'::text AS same;
CREATE VIEW app.by_cast AS SELECT ROW(1, 2)::app.pair::text AS pair;
CREATE VIEW app.by_domain AS SELECT 2::app.even AS even;
CREATE VIEW app.by_aggregate AS SELECT app.total("Age of") FROM app.people;
CREATE VIEW app.by_own AS SELECT nextval('app.numbers');

CREATE TABLE app.secrets (id int, what text);
CREATE POLICY seen ON app.secrets FOR SELECT
    USING (app.may_see(id) AND EXISTS (SELECT FROM app.loud_adults a WHERE a.name = what));
CREATE TABLE app.written (a int, b text);
CREATE POLICY entered ON app.written FOR INSERT WITH CHECK (b = app.loud());
CREATE RULE entered AS ON INSERT TO app.written DO ALSO SELECT app.loud();

CREATE TABLE app.turned (name text, noise text);
DO $$
BEGIN
    -- From 16 on, tables can no longer be turned into views.
    IF current_setting('server_version_num')::int < 160000 THEN
        EXECUTE 'CREATE RULE "_RETURN" AS ON SELECT TO app.turned DO INSTEAD SELECT name, app.loud() AS noise FROM app.people';
    END IF;
    IF current_setting('server_version_num')::int >= 180000 THEN
        EXECUTE 'CREATE TABLE app.imagined (a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL)';
    END IF;
END
$$;
