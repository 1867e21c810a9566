-- What pg_depend leaves out of the definitions of users' objects: relations that are pinned (ids below 12000), volatile
-- functions of the database's own, rows taken as a whole, and all functions in defaults of arguments and in SQL bodies.
-- Names in a tree are escaped, so no name looks like a field.
WITH definition AS (
    SELECT 'view' AS kind, ev_class AS id, ev_action::text AS tree FROM pg_rewrite WHERE ev_type = '1' AND ev_class >= 16384
    UNION ALL SELECT 'policy', polrelid, concat(polqual, polwithcheck) FROM pg_policy WHERE polcmd IN ('*', 'r')
    UNION ALL SELECT 'type', contypid, conbin::text FROM pg_constraint WHERE contypid >= 16384
    UNION ALL SELECT 'generated', d.adrelid, d.adbin::text
        FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE a.attgenerated = 'v'
    UNION ALL SELECT 'function', oid, concat(proargdefaults, prosqlbody) FROM pg_proc
        WHERE oid >= 16384 AND (proargdefaults IS NOT NULL OR prosqlbody IS NOT NULL)),
named AS (
    SELECT DISTINCT d.kind, d.id, m[1]::oid AS relation, m[2]::oid AS function
    FROM definition d, regexp_matches(d.tree, ':(?:relid ([0-9]+)|(?:funcid|opfuncid|aggfnoid|winfnoid) ([0-9]+))', 'g') m)
SELECT kind, id, 'relation', relation, 0 FROM named WHERE relation BETWEEN 1 AND 11999
UNION ALL SELECT n.kind, n.id, 'function', n.function, 0 FROM named n
    WHERE n.function IN (SELECT oid FROM pg_proc WHERE oid < 16384 AND provolatile = 'v')
        OR (n.kind = 'function' AND n.function >= 16384)
UNION ALL SELECT kind, id, 'whole', 0::oid, 0 FROM definition WHERE kind = 'view' AND tree LIKE '% :varattno 0 %'
