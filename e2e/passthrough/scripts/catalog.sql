-- What psql asks of the catalog, and what an administrator does to other sessions and to the server.
\l
\dn
\dx
\df pg_catalog.abs
\dRp
\dconfig work_mem
\z
\sf pg_catalog.col_description
\dp pg_catalog.pg_class
SELECT count(*) > 0 FROM pg_stat_activity;
SELECT pg_reload_conf();
SELECT pg_switch_wal() IS NOT NULL;
CHECKPOINT;
SELECT pg_cancel_backend(0);
SELECT count(*) FROM pg_ls_dir('.') WHERE pg_ls_dir = 'PG_VERSION';
SELECT length(pg_read_file('PG_VERSION')) > 0;
CREATE PUBLICATION pub FOR ALL TABLES;
SELECT slot_name FROM pg_create_logical_replication_slot('passthrough', 'test_decoding');
SELECT count(*) FROM pg_logical_slot_get_changes('passthrough', NULL, NULL);
SELECT pg_drop_replication_slot('passthrough');
DROP PUBLICATION pub;
CREATE EXTENSION dblink;
SELECT * FROM dblink('hostaddr=127.0.0.1 port=1 connect_timeout=1', 'SELECT 1') AS t (a int);
DROP EXTENSION dblink;
\c -
SELECT 'connected again';
