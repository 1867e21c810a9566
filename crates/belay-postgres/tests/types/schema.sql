-- Types whose values call functions. Each function notes that it ran in the setting seen.calls.
CREATE FUNCTION note(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN PERFORM set_config('seen.calls', concat(current_setting('seen.calls', true), ' ', name), false); END $$;

CREATE FUNCTION even(int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM note('even'); RETURN true; END $$;
CREATE DOMAIN evens AS int CHECK (even(VALUE));
CREATE DOMAIN locked AS int CHECK (pg_try_advisory_lock(VALUE) IS NOT NULL);
CREATE FUNCTION twice(evens) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM note('twice'); RETURN 2; END $$;

CREATE TYPE mood AS ENUM ('calm', 'wild');
CREATE FUNCTION mood_text(mood) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM note('mood_text'); RETURN 'm'; END $$;
CREATE FUNCTION mood_json(mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN PERFORM note('mood_json'); RETURN '1'; END $$;
CREATE CAST (mood AS text) WITH FUNCTION mood_text(mood);
CREATE CAST (mood AS json) WITH FUNCTION mood_json(mood);
CREATE DOMAIN moods AS mood;

CREATE TYPE pair AS (a int, b int);
CREATE FUNCTION text_pair(text) RETURNS pair LANGUAGE plpgsql AS $$ BEGIN PERFORM note('text_pair'); RETURN ROW(1, 2)::pair; END $$;
CREATE FUNCTION pair_text(pair) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM note('pair_text'); RETURN 'p'; END $$;
CREATE CAST (text AS pair) WITH FUNCTION text_pair(text);
CREATE CAST (pair AS text) WITH FUNCTION pair_text(pair);
CREATE DOMAIN pairs AS pair;
CREATE TYPE words AS (w text, n int);

CREATE TYPE meters AS (m int);
CREATE FUNCTION meters_of(int) RETURNS meters LANGUAGE plpgsql AS $$ BEGIN PERFORM note('meters_of'); RETURN ROW($1)::meters; END $$;
CREATE CAST (int AS meters) WITH FUNCTION meters_of(int) AS IMPLICIT;

CREATE DOMAIN name1 AS varchar;
CREATE DOMAIN name2 AS name1;
CREATE FUNCTION upper(varchar) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM note('upper'); RETURN 'x'; END $$;
CREATE FUNCTION repeat(name1, bigint) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM note('repeat'); RETURN 'x'; END $$;

CREATE TABLE people (id int, name text, feels mood, at pair, high meters);
INSERT INTO people VALUES (1, 'ada', 'calm', ROW(1, 2), ROW(3));
