-- A table on which a rule for SELECT lies is read as a view, whatever its kind says.
SELECT c.oid, n.nspname, c.relname,
    CASE WHEN c.relkind = 'r' AND c.relhasrules AND EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = c.oid AND w.ev_type = '1')
        THEN 'v' ELSE c.relkind END::"char"
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_(toast_)?temp_'
