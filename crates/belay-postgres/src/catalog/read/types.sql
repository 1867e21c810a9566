SELECT t.oid, n.nspname, t.typname, t.typcategory,
    CASE WHEN t.typsubscript = 'array_subscript_handler'::regproc THEN t.typelem ELSE 0::oid END,
    t.typbasetype, t.typrelid, format_type(t.oid, NULL)
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname !~ '^pg_(toast_)?temp_'
