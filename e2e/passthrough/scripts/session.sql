-- PGOPTIONS: -c search_path=pg_catalog,public -c work_mem=3MB -c default_transaction_read_only=off -c my.own=x
-- What a session starts with and what it sets: nothing is pinned.
SHOW search_path;
SHOW work_mem;
SHOW my.own;
SHOW default_transaction_read_only;
SET client_encoding = 'LATIN1';
SELECT chr(233) = E'\u00e9';
SHOW client_encoding;
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SELECT 'a\'b';
RESET standard_conforming_strings;
RESET client_encoding;
SET session_replication_role = replica;
SHOW session_replication_role;
SET ROLE pg_read_all_data;
SELECT current_user;
RESET ROLE;
BEGIN READ ONLY;
SET TRANSACTION READ WRITE;
ROLLBACK;
SET LOCAL work_mem = '1MB';
SELECT set_config('default_transaction_read_only', 'on', false);
CREATE TABLE cannot (a int);
SELECT set_config('default_transaction_read_only', 'off', false);
DISCARD ALL;
SHOW work_mem;
SELECT session_user = current_user, usesuper FROM pg_user WHERE usename = current_user;
