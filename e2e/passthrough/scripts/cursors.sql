-- Cursors, prepared statements, notifications, anonymous blocks, large objects.
PREPARE p (int) AS SELECT $1 * 2 AS twice;
EXECUTE p (21);
PREPARE p AS SELECT 1;
SELECT name, statement, parameter_types FROM pg_prepared_statements;
DEALLOCATE p;
EXECUTE p (1);
BEGIN;
DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT n FROM generate_series(1, 10) n;
FETCH 3 FROM c;
MOVE BACKWARD 2 IN c;
FETCH ABSOLUTE 7 FROM c;
COMMIT;
FETCH ALL FROM c;
CLOSE c;
FETCH c;
\set FETCH_COUNT 3
SELECT n, n * n AS square FROM generate_series(1, 10) n;
\unset FETCH_COUNT
LISTEN news;
NOTIFY news, 'extra';
SELECT pg_notify('news', repeat('x', 10));
UNLISTEN *;
DO $$ BEGIN RAISE NOTICE 'a notice'; RAISE WARNING 'a warning' USING HINT = 'a hint'; END $$;
DO $$ BEGIN RAISE EXCEPTION SQLSTATE 'ZZ123' USING MESSAGE = 'own', DETAIL = 'detail', COLUMN = 'col'; END $$;
DO LANGUAGE plpgsql $$ BEGIN EXECUTE 'CREATE TEMP TABLE inside (a int)'; PERFORM 1 / 0; END $$;
SELECT lo_create(4711);
\lo_list
SELECT lo_put(4711, 0, 'hello'), encode(lo_get(4711), 'escape');
\lo_export 4711 /dev/null
\lo_import /etc/hostname 'imported'
SELECT count(*) FROM pg_largeobject_metadata;
\lo_unlink 4711
SELECT lo_unlink(oid) FROM pg_largeobject_metadata;
SELECT 1 AS one \gset
SELECT :one + 1 AS two, 'x' AS "Y" \gx
SELECT 'SELECT ' || n FROM generate_series(1, 3) n \gexec
SELECT 1 AS a, '' AS b, NULL AS c \gdesc
SELECT * FROM (VALUES (1, 'x', 2), (1, 'y', 3)) v (r, c, n) \crosstabview
SELECT 1;;SELECT 2;
SELECT pg_sleep(0.2);
SET statement_timeout = '100ms';
SELECT pg_sleep(10);
RESET statement_timeout;
SELECT repeat('long ', 100000) IS NOT NULL;
SELECT pg_backend_pid() = (SELECT pid FROM pg_stat_activity WHERE pid = pg_backend_pid());
SELECT pg_terminate_backend(pg_backend_pid());
SELECT 'back again';
