SELECT p.oid, n.nspname, p.proname, p.proargtypes::oid[], p.pronargdefaults, p.provariadic <> 0, p.prorettype,
    p.prokind = 'p', p.provolatile = 'v', p.prosecdef, l.lanname IN ('c', 'internal'),
    NOT l.lanpltrusted AND l.lanname NOT IN ('c', 'internal'),
    (SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE p.oid >= 12000 AND d.classid = 'pg_proc'::regclass AND d.objid = p.oid
            AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' LIMIT 1),
    coalesce(r.rolname::text, p.proowner::text)
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    LEFT JOIN pg_roles r ON r.oid = p.proowner
WHERE n.nspname !~ '^pg_(toast_)?temp_'
