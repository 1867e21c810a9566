-- COPY in every direction, well and badly.
CREATE TABLE public.c (a int, b text);
COPY c FROM STDIN;
1	one
2	two\tand a tab
\.
COPY c FROM STDIN (FORMAT csv, HEADER);
a,b
3,"three, ""quoted"""
4,
\.
COPY c FROM STDIN;
5	five
six	6
\.
COPY c (a) FROM STDIN WHERE a > 100;
7
700
\.
COPY c TO STDOUT;
COPY (SELECT a, b FROM c ORDER BY a DESC) TO STDOUT (FORMAT csv, FORCE_QUOTE *);
COPY c TO STDOUT \; SELECT 'behind the copy' \; COPY c (a) TO STDOUT;
BEGIN;
COPY c FROM STDIN (FREEZE);
8	eight
\.
ROLLBACK;
\copy c to program 'cat' csv
\copy (select generate_series(1, 20000), repeat('x', 100)) to '/dev/null'
CREATE TABLE public.wide AS SELECT n, repeat(md5(n::text), 50) AS filler FROM generate_series(1, 3000) n;
SELECT count(*), sum(length(filler)) FROM wide;
COPY c TO PROGRAM 'cat > /dev/null';
COPY c FROM PROGRAM 'printf "9\tnine\n"';
COPY c FROM '/does/not/exist';
COPY nowhere FROM STDIN;
SELECT * FROM c ORDER BY a NULLS FIRST;
DROP TABLE c, wide;
