-- One text that changes when anything changes that is read of a user's objects. Where access lists hang on the same
-- rows (relations, columns, schemas, functions), the fields that matter are hashed, since every new grant changes
-- those lists; elsewhere the row's version is. Other sessions' temporary objects are left out.
WITH away AS MATERIALIZED (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(toast_)?temp_'),
temporary AS MATERIALIZED (SELECT oid FROM pg_class WHERE relnamespace IN (SELECT oid FROM away)),
parts AS (
    SELECT 'class' AS part, count(*) AS rows, bit_xor(hashtextextended(relname::text, (oid::int8 << 32) + relnamespace::int8)
            # hashtextextended(relkind::text, oid::int8)) AS hash
        FROM pg_class WHERE relnamespace NOT IN (SELECT oid FROM away)
    UNION ALL SELECT 'attribute', count(*), bit_xor(
            hashtextextended(attname::text, (attrelid::int8 << 32) + atttypid::int8) # (attnum::int8 * attrelid::int8))
        FROM pg_attribute WHERE attnum > 0 AND attrelid NOT IN (SELECT oid FROM temporary)
    UNION ALL SELECT 'namespace', count(*), bit_xor(hashtextextended(nspname::text, oid::int8))
        FROM pg_namespace WHERE oid NOT IN (SELECT oid FROM away)
    UNION ALL SELECT 'proc', count(*), bit_xor(hashtextextended(CASE WHEN oid < 16384 THEN xmin::text
            ELSE concat_ws(' ', proname, pronamespace, proowner, prolang, prokind, provolatile, prosecdef, provariadic,
                pronargdefaults, prorettype, proargtypes, prosrc, probin, proargdefaults, prosqlbody, proconfig) END,
            oid::int8))
        FROM pg_proc WHERE pronamespace NOT IN (SELECT oid FROM away)
    UNION ALL SELECT 'owner', count(*), bit_xor(hashtextextended(rolname::text, oid::int8))
        FROM pg_roles WHERE oid IN (SELECT proowner FROM pg_proc)
    UNION ALL SELECT 'type', count(*), bit_xor(hashtextextended(xmin::text, oid::int8))
        FROM pg_type WHERE typnamespace NOT IN (SELECT oid FROM away)
    UNION ALL SELECT 'aggregate', count(*), bit_xor(hashtextextended(xmin::text, aggfnoid::int8)) FROM pg_aggregate
    UNION ALL SELECT 'operator', count(*), bit_xor(hashtextextended(xmin::text, oid::int8)) FROM pg_operator
    UNION ALL SELECT 'opclass', count(*), bit_xor(hashtextextended(xmin::text, oid::int8)) FROM pg_opclass
    UNION ALL SELECT 'amop', count(*), bit_xor(hashtextextended(xmin::text, oid::int8)) FROM pg_amop
    UNION ALL SELECT 'amproc', count(*), bit_xor(hashtextextended(xmin::text, oid::int8)) FROM pg_amproc
    UNION ALL SELECT 'range', count(*), bit_xor(hashtextextended(xmin::text, rngtypid::int8)) FROM pg_range
    UNION ALL SELECT 'cast', count(*), bit_xor(hashtextextended(xmin::text, oid::int8)) FROM pg_cast
    UNION ALL SELECT 'rewrite', count(*), bit_xor(hashtextextended(xmin::text, oid::int8))
        FROM pg_rewrite WHERE ev_class NOT IN (SELECT oid FROM temporary)
    UNION ALL SELECT 'policy', count(*), bit_xor(hashtextextended(xmin::text, oid::int8)) FROM pg_policy
    UNION ALL SELECT 'inherits', count(*), bit_xor(hashtextextended(xmin::text, (inhrelid::int8 << 32) + inhparent::int8))
        FROM pg_inherits WHERE inhrelid NOT IN (SELECT oid FROM temporary)
    UNION ALL SELECT 'attrdef', count(*), bit_xor(hashtextextended(xmin::text, oid::int8))
        FROM pg_attrdef WHERE adrelid NOT IN (SELECT oid FROM temporary)
    UNION ALL SELECT 'constraint', count(*), bit_xor(hashtextextended(xmin::text, oid::int8))
        FROM pg_constraint WHERE contypid <> 0
    UNION ALL SELECT 'language', count(*), bit_xor(hashtextextended(lanname::text, oid::int8)) FROM pg_language
    UNION ALL SELECT 'extension', count(*), bit_xor(hashtextextended(xmin::text, oid::int8)) FROM pg_extension
    UNION ALL SELECT 'member', count(*), bit_xor(hashtextextended(refobjid::text, (classid::int8 << 32) + objid::int8))
        FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e')
SELECT string_agg(concat_ws(' ', part, rows, hash), ', ' ORDER BY part) FROM parts
