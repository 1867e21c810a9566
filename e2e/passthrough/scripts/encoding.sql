-- PGCLIENTENCODING: SJIS
-- A client that does not speak UTF-8, from its first packet on. The second byte of the text is a backslash in ASCII.
\set surface '\225\134'
SHOW client_encoding;
SELECT length(:'surface'), :'surface' = U&'\8868';
SET standard_conforming_strings = off;
SELECT length(:'surface'), encode(convert_to(:'surface', 'UTF8'), 'hex');
SELECT ':surface';
RESET standard_conforming_strings;
SET client_encoding = 'UTF8';
SELECT length(:'surface');
SELECT length('日本'), '日本' = U&'\65e5\672c';
SET client_encoding = 'SQL_ASCII';
SELECT 'ä' = U&'\00e4';
SET client_encoding = 'nonsense';
