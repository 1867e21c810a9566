-- Who uses what: (kind of user, its id, kind of what is used, its id, column). Users: view, policy (of a table),
-- generated (column of a table), type, function, aggregate, parent, partitioned. Used: relation, function, type.
-- Dependencies on the database's own objects are not in pg_depend: trees.sql finds those.
WITH definition AS (
    SELECT 'pg_rewrite'::regclass AS class, oid, 'view' AS kind, ev_class AS id FROM pg_rewrite WHERE ev_type = '1'
    UNION ALL SELECT 'pg_policy'::regclass, oid, 'policy', polrelid FROM pg_policy WHERE polcmd IN ('*', 'r')
    UNION ALL SELECT 'pg_constraint'::regclass, oid, 'type', contypid FROM pg_constraint WHERE contypid <> 0
    UNION ALL SELECT 'pg_attrdef'::regclass, d.oid, 'generated', d.adrelid
        FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE a.attgenerated = 'v'),
dependency AS (
    SELECT n.kind, n.id, d.refclassid, d.refobjid, d.refobjsubid
    FROM definition n JOIN pg_depend d ON d.classid = n.class AND d.objid = n.oid
    WHERE (d.refclassid, d.refobjid) <> (CASE n.kind WHEN 'type' THEN 'pg_type'::regclass ELSE 'pg_class'::regclass END, n.id)),
comparison AS (
    SELECT c.oid, p.amproc::oid AS function FROM pg_opclass c JOIN pg_amproc p ON p.amprocfamily = c.opcfamily
        AND c.opcintype IN (p.amproclefttype, p.amprocrighttype)
    UNION SELECT c.oid, o.oprcode::oid FROM pg_opclass c JOIN pg_amop p ON p.amopfamily = c.opcfamily
        AND c.opcintype IN (p.amoplefttype, p.amoprighttype) JOIN pg_operator o ON o.oid = p.amopopr)
SELECT kind, id, 'relation', refobjid, refobjsubid FROM dependency WHERE refclassid = 'pg_class'::regclass
UNION ALL SELECT kind, id, 'function', refobjid, 0 FROM dependency WHERE refclassid = 'pg_proc'::regclass
UNION ALL SELECT kind, id, 'type', refobjid, 0 FROM dependency WHERE refclassid = 'pg_type'::regclass
UNION ALL SELECT d.kind, d.id, 'function', o.oprcode::oid, 0 FROM dependency d JOIN pg_operator o ON o.oid = d.refobjid
    WHERE d.refclassid = 'pg_operator'::regclass AND o.oprcode::oid >= 16384
UNION ALL SELECT d.kind, d.id, 'function', c.castfunc, 0 FROM dependency d JOIN pg_cast c ON c.oid = d.refobjid
    WHERE d.refclassid = 'pg_cast'::regclass AND c.castfunc >= 16384
UNION ALL SELECT 'type', t.oid, 'function', f, 0
    FROM pg_type t, unnest(ARRAY[typinput, typoutput, typreceive, typsend, typmodin, typmodout, typsubscript]::oid[]) f
    WHERE f >= 16384
UNION ALL SELECT 'type', c.opcintype, 'function', m.function, 0
    FROM pg_opclass c JOIN pg_am a ON a.oid = c.opcmethod JOIN comparison m ON m.oid = c.oid
    WHERE c.opcdefault AND a.amname IN ('btree', 'hash') AND m.function >= 16384
UNION ALL SELECT 'type', r.rngtypid, 'function', m.function, 0 FROM pg_range r JOIN comparison m ON m.oid = r.rngsubopc
    WHERE m.function >= 16384
UNION ALL SELECT 'type', rngtypid, 'function', f, 0 FROM pg_range, unnest(ARRAY[rngcanonical, rngsubdiff]::oid[]) f
    WHERE f >= 16384
UNION ALL SELECT 'type', rngtypid, 'type', rngsubtype, 0 FROM pg_range
UNION ALL SELECT 'type', rngmultitypid, 'type', rngtypid, 0 FROM pg_range
UNION ALL SELECT 'aggregate', aggfnoid::oid, 'function', f, 0 FROM pg_aggregate, unnest(ARRAY[aggtransfn, aggfinalfn,
        aggcombinefn, aggserialfn, aggdeserialfn, aggmtransfn, aggminvtransfn, aggmfinalfn]::oid[]) f WHERE f <> 0
UNION ALL SELECT CASE c.relkind WHEN 'p' THEN 'partitioned' ELSE 'parent' END, i.inhparent, 'relation', i.inhrelid, 0
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent WHERE c.relkind <> 'I'
