"""Makes statements that nobody wrote by hand: what changes or shows something, in wrappers, said in another way.

Not a judge of any of them: whether a statement does what it is for is found out by sending it to a server that nothing
guards. The same seed gives the same cases.
"""

import random
import re

# Everything that a statement could have changed in the database. Left out is what a gateway does when a session
# starts: it makes a role whose name starts with belay_, and gives it privileges.
STATE = """
WITH ours AS (SELECT oid FROM pg_roles WHERE rolname LIKE 'belay\\_%'),
bits AS (
 SELECT 'orders' AS what, md5(string_agg(o::text, ',' ORDER BY id)) AS sum FROM app.orders o
 UNION ALL SELECT 'customers', md5(string_agg(c::text, ',' ORDER BY id)) FROM app.customers c
 UNION ALL SELECT 'items', md5(string_agg(i::text, ',' ORDER BY id)) FROM app.items i
 UNION ALL SELECT 'categories', md5(string_agg(c::text, ',' ORDER BY id)) FROM app.categories c
 UNION ALL SELECT 'log', md5(string_agg(l::text, ',' ORDER BY id)) FROM app.change_log l
 UNION ALL SELECT 'keys', md5(string_agg(k::text, ',' ORDER BY id)) FROM app.api_keys k
 UNION ALL SELECT 'events', md5(string_agg(e::text, ',' ORDER BY id)) FROM app.events e
 UNION ALL SELECT 'salaries', md5(string_agg(s::text, ',' ORDER BY emp)) FROM hr.salaries s
 UNION ALL SELECT 'secrets', md5(string_agg(s::text, ',' ORDER BY k)) FROM hr.secrets s
 UNION ALL SELECT 'probe', md5(string_agg(p::text, ',' ORDER BY id)) FROM public.gw_probe p
 UNION ALL SELECT 'totals', md5(string_agg(m::text, ',' ORDER BY customer_id)) FROM app.mv_order_totals m
 UNION ALL SELECT 'sequence', concat(last_value, is_called) FROM app.ticket_seq
 UNION ALL SELECT 'large objects', md5(string_agg(encode(data, 'hex'), ',' ORDER BY loid, pageno)) FROM pg_largeobject
 UNION ALL SELECT 'large object names', md5(string_agg(concat(oid, lomowner), ',' ORDER BY oid)) FROM pg_largeobject_metadata
 UNION ALL SELECT 'relations', md5(string_agg(concat(oid, relname, relfilenode, relpersistence, relowner, relhasrules,
   relhastriggers, relnatts, relrowsecurity, reloptions::text), ',' ORDER BY oid)) FROM pg_class WHERE oid >= 16384
 UNION ALL SELECT 'columns', md5(string_agg(concat(attrelid, attname, atttypid, attnotnull, attisdropped), ','
   ORDER BY attrelid, attnum)) FROM pg_attribute WHERE attrelid >= 16384
 UNION ALL SELECT 'functions', md5(string_agg(concat(oid, proname, prosrc, proconfig::text), ',' ORDER BY oid))
   FROM pg_proc WHERE oid >= 16384
 UNION ALL SELECT 'types', count(*)::text FROM pg_type
 UNION ALL SELECT 'schemas', md5(string_agg(concat(oid, nspname, nspowner), ',' ORDER BY oid)) FROM pg_namespace
   WHERE nspname !~ '^pg_(toast_)?temp_'
 UNION ALL SELECT 'comments', md5(string_agg(concat(objoid, description), ',' ORDER BY objoid, objsubid))
   FROM pg_description WHERE objoid >= 16384
 UNION ALL SELECT 'roles', md5(string_agg(concat(rolname, rolsuper, rolcanlogin, rolconfig::text), ',' ORDER BY oid))
   FROM pg_roles WHERE oid NOT IN (SELECT oid FROM ours)
 UNION ALL SELECT 'settings', count(*)::text FROM pg_db_role_setting WHERE setrole NOT IN (SELECT oid FROM ours)
 UNION ALL SELECT 'grants', md5(string_agg(concat(c.oid, a.grantee, a.privilege_type), ','
   ORDER BY c.oid, a.grantee, a.privilege_type)) FROM pg_class c, aclexplode(c.relacl) a
   WHERE c.oid >= 16384 AND a.grantee NOT IN (SELECT oid FROM ours)
 UNION ALL SELECT 'constraints', count(*)::text FROM pg_constraint
 UNION ALL SELECT 'rules', count(*)::text FROM pg_rewrite
 UNION ALL SELECT 'triggers', count(*)::text FROM pg_trigger
 UNION ALL SELECT 'statistics', count(*)::text FROM pg_statistic_ext
 UNION ALL SELECT 'extensions', count(*)::text FROM pg_extension
 UNION ALL SELECT 'prepared', count(*)::text FROM pg_prepared_xacts
 UNION ALL SELECT 'advisory locks', count(*)::text FROM pg_locks WHERE locktype = 'advisory'
)
SELECT md5(string_agg(concat(what, '=', sum), ';' ORDER BY what)) FROM bits"""

# A write: (name, text, whether it may stand where rows are expected).
DML = [
    ("insert", "INSERT INTO app.orders VALUES (900, 1, 5, 'new', 'x', now())"),
    ("insert-select", "INSERT INTO app.categories SELECT id + 100, parent_id, name FROM app.categories"),
    ("upsert", "INSERT INTO app.items VALUES (1, 'SKU-1') ON CONFLICT (id) DO UPDATE SET title = 'taken'"),
    ("update", "UPDATE app.orders SET total = 0 WHERE id > 3"),
    ("update-from", "UPDATE app.customers SET credit_limit = 0 FROM app.orders WHERE orders.customer_id = customers.id"),
    ("delete", "DELETE FROM app.orders WHERE id > 10"),
    ("delete-using", "DELETE FROM app.change_log USING app.items WHERE items.id = change_log.id"),
    ("delete-secret", "DELETE FROM hr.secrets"),
]

# Writes that are queries: they may stand wherever a query may.
ACTING = [
    ("nextval", "SELECT nextval('app.ticket_seq')"),
    ("setval", "SELECT setval('app.ticket_seq', 7)"),
    ("lo-create", "SELECT lo_create(777001)"),
    ("lo-put", "SELECT lo_from_bytea(777002, 'x')"),
    ("lo-unlink", "SELECT lo_unlink(424242)"),
    ("advisory", "SELECT pg_advisory_lock(id) FROM app.items"),
    ("query-to-xml", "SELECT query_to_xml('DELETE FROM app.orders RETURNING id', true, true, '')"),
]

# Statements that stand alone.
UTILITY = [
    ("truncate", "TRUNCATE app.change_log"),
    ("create-table", "CREATE TABLE app.taken (id int)"),
    ("create-temp", "CREATE TEMPORARY TABLE taken AS SELECT id FROM app.orders"),
    ("select-into", "SELECT id INTO app.taken FROM app.orders"),
    ("drop", "DROP TABLE app.change_log"),
    ("alter", "ALTER TABLE app.orders ADD COLUMN taken int"),
    ("comment", "COMMENT ON TABLE app.orders IS 'taken'"),
    ("grant", "GRANT ALL ON app.orders TO PUBLIC"),
    ("refresh", "UPDATE app.orders SET total = 1; REFRESH MATERIALIZED VIEW app.mv_order_totals"),
    ("copy-from", "COPY app.categories FROM PROGRAM 'printf \"77\\t1\\tx\\n\"'"),
]

# Queries with a value that must not come back.
SECRET = [
    ("ssn", "SELECT ssn FROM app.customers WHERE id = 7", "907-55-4407"),
    ("email", "SELECT email FROM app.customers WHERE id = 3", "mask03@private.example"),
    ("whole-row", "SELECT c FROM app.customers c", "mask05@private.example"),
    ("star", "SELECT * FROM app.customers", "911-55-4411"),
    ("to-jsonb", "SELECT to_jsonb(c) FROM app.customers c", "mask02@private.example"),
    ("attribute", "SELECT (c).ssn FROM app.customers c", "912-55-4412"),
    ("function-style", "SELECT ssn(c) FROM app.customers c", "909-55-4409"),
    ("cast", "SELECT c::text FROM app.customers c", "914-55-4414"),
    ("aggregate", "SELECT max(ssn) FROM app.customers", "920-55-4420"),
    ("array", "SELECT array_agg(email) FROM app.customers", "mask06@private.example"),
    ("hidden-name", "SELECT q.e FROM (SELECT id, email AS e FROM app.customers) q", "mask08@private.example"),
    ("case", "SELECT CASE WHEN ssn LIKE '907%' THEN 'found-it' END FROM app.customers", "found-it"),
    ("join", "SELECT 'found-' || a.id FROM app.customers a JOIN app.customers b ON a.ssn = b.ssn WHERE b.id = 4", "found-4"),
    ("where", "SELECT 'found-' || id FROM app.customers WHERE email = 'mask04@private.example'", "found-4"),
    ("keys", "SELECT token FROM app.api_keys", "KEY-77b3-0043"),
    ("hr", "SELECT v FROM hr.secrets", "SECRET-hr-5f1c9e"),
    ("table", "TABLE hr.secrets", "SECRET-hr-2d77aa"),
    ("partition", "SELECT payload FROM app.events", "SECRET-evt-us-77aa"),
    ("sub-select", "SELECT id, (SELECT min(token) FROM app.api_keys) FROM app.items", "KEY-77b3-0043"),
]

# Queries that the grant allows, and a text that must come back.
ALLOWED = [
    ("orders", "SELECT id, total FROM app.orders ORDER BY id", "390.00"),
    ("named", "SELECT name FROM app.customers WHERE city = 'Oslo' ORDER BY 1", "Customer 01"),
    ("join", "SELECT c.name, sum(o.total) FROM app.customers c JOIN app.orders o ON o.customer_id = c.id GROUP BY 1", "Customer 20"),
    ("words", "SELECT note, 'DELETE FROM app.orders' AS told FROM app.orders WHERE id = 5", "DELETE FROM app.orders"),
    ("columns", "SELECT \"update\", \"select\" FROM app.change_log", "upd 6"),
    ("json", "SELECT attrs->'dims'->>'h' AS h FROM app.items WHERE id = 11", "22"),
    ("function", "SELECT app.fmt_money(total) FROM app.orders WHERE id = 2", "EUR 20.00"),
    ("window", "SELECT id, rank() OVER (PARTITION BY status ORDER BY total DESC) FROM app.orders", "40"),
    ("total", "SELECT sum(total) FROM app.mv_order_totals", "8200.00"),
    ("recursive", "WITH RECURSIVE t AS (SELECT id, name FROM app.categories WHERE parent_id IS NULL UNION ALL "
     "SELECT c.id, c.name FROM app.categories c JOIN t ON c.parent_id = t.id) SELECT name FROM t", "hammers"),
]

# Wrappers of a query. Those that show no rows are in a list of their own.
AROUND_QUERY = {
    "plain": "{q}",
    "cte": "WITH w AS ({q}) SELECT * FROM w",
    "materialized": "WITH w AS MATERIALIZED ({q}), v AS (TABLE w) SELECT * FROM v",
    "from": "SELECT * FROM ({q}) s",
    "lateral": "SELECT s.* FROM (VALUES (1)) AS one, LATERAL ({q}) s",
    "union": "SELECT NULL WHERE false UNION ALL SELECT s::text FROM ({q}) s",
    "array": "SELECT ARRAY(SELECT s::text FROM ({q}) s)",
    "json": "SELECT json_agg(s) FROM ({q}) s",
    "scalar": "SELECT 1, (SELECT string_agg(s::text, ' ') FROM ({q}) s)",
    "prepare": "PREPARE p AS {q}; EXECUTE p",
    "cursor": "BEGIN; DECLARE c CURSOR FOR {q}; FETCH ALL FROM c; COMMIT",
    "hold": "DECLARE c CURSOR WITH HOLD FOR {q}; FETCH 100 FROM c; CLOSE c",
    "copy": "COPY ({q}) TO STDOUT",
    "copy-csv": "COPY ({q}) TO STDOUT WITH (FORMAT csv, HEADER)",
    "block": "BEGIN; {q}; COMMIT",
    "savepoint": "BEGIN; SAVEPOINT s; {q}; RELEASE s; COMMIT",
    "second": "SELECT 1; {q}",
    "parenthesis": "({q})",
    "extended": "{q}",
}
ACTS_ONLY = {
    "explain-analyze": "EXPLAIN ANALYZE {q}",
    "explain-list": "EXPLAIN (COSTS off, ANALYZE, FORMAT json) {q}",
    "explain-execute": "PREPARE p AS {q}; EXPLAIN ANALYZE EXECUTE p",
    "exists": "SELECT EXISTS (SELECT 1 FROM ({q}) s OFFSET 0)",
    "count": "SELECT count(s) FROM ({q}) s",
}
AROUND_DML = {
    "plain": "{q}",
    "cte": "WITH w AS ({q} RETURNING *) SELECT count(*) FROM w",
    "cte-unread": "WITH w AS ({q}) SELECT 1",
    "cte-second": "WITH a AS (SELECT 1), w AS ({q} RETURNING 1) TABLE a",
    "explain-analyze": "EXPLAIN ANALYZE {q}",
    "explain-list": "EXPLAIN (ANALYZE true, TIMING off) {q}",
    "explain-cte": "EXPLAIN (ANALYZE) WITH w AS ({q} RETURNING 1) SELECT * FROM w",
    "prepare": "PREPARE p AS {q}; EXECUTE p",
    "prepare-cte": "PREPARE p AS WITH w AS ({q} RETURNING 1) SELECT * FROM w; EXECUTE p",
    "copy": "COPY ({q} RETURNING 1) TO STDOUT",
    "do": "DO $do$ BEGIN {q}; END $do$",
    "do-string": "DO 'BEGIN {quoted}; END'",
    "block": "BEGIN; {q}; COMMIT",
    "read-write": "BEGIN READ WRITE; {q}; COMMIT",
    "lift": "SET default_transaction_read_only = off; {q}",
    "lift-session": "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; {q}",
    "second": "SELECT 1; {q}",
    "extended": "{q}",
    "view": "CREATE TEMP TABLE t AS WITH w AS ({q} RETURNING 1) SELECT * FROM w",
}
AROUND_UTILITY = {
    "plain": "{q}",
    "block": "BEGIN; {q}; COMMIT",
    "read-write": "BEGIN; SET TRANSACTION READ WRITE; {q}; COMMIT",
    "second": "SELECT 1; {q}",
    "do": "DO $do$ BEGIN {q}; END $do$",
    "extended": "{q}",
}
# Text that no mutation looks into.
KEPT = re.compile(r"""('(?:[^']|'')*'|"[^"]*"|\$do\$)""")


def outside(text, change):
    """The text with `change` made to what stands in no quotes."""
    return "".join(part if at % 2 else change(part) for at, part in enumerate(KEPT.split(text)))


def spaces(dice, instead):
    def change(part):
        return re.sub(" ", lambda _: dice.choice(instead), part)
    return change


def quote_names(part):
    return re.sub(r"\b(app|hr)\.([a-z_]+)\b", r'"\1"."\2"', part)


def escape_names(part):
    spelled = lambda name: 'U&"' + "".join("\\%04x" % ord(c) for c in name) + '"'
    return re.sub(r"\b(app|hr)\.([a-z_]+)\b", lambda m: spelled(m[1]) + "." + spelled(m[2]), part)


MUTATIONS = {
    "case": lambda dice, text: outside(text, lambda part: "".join(dice.choice((c.upper(), c.lower())) for c in part)),
    "comments": lambda dice, text: outside(text, spaces(dice, [" ", "/**/", " /* a /* b */ ; */ "])),
    "lines": lambda dice, text: outside(text, spaces(dice, [" ", "\n", "\r", "--x\n", "-- '\r"])),
    "blanks": lambda dice, text: outside(text, spaces(dice, [" ", "\t", "\f", "\r\n"])),
    "quoted": lambda dice, text: outside(text, quote_names),
    "unicode": lambda dice, text: outside(text, escape_names),
    "semicolons": lambda dice, text: ";; " + text + " ;",
    "catalog": lambda dice, text: outside(text, lambda part: re.sub(
        r"\b(nextval|setval|lo_create|to_jsonb|max|query_to_xml)\(", r"pg_catalog.\1(", part)),
}


def shapes():
    """Every (kind, group, name, text, wrapper's name, wrapper, what must come back or must not)."""
    for name, text in DML:
        yield from (("write", name, text, w, around, None) for w, around in AROUND_DML.items())
    for name, text in ACTING:
        around_all = {**AROUND_QUERY, **ACTS_ONLY}
        yield from (("act", name, text, w, around, None) for w, around in around_all.items())
    for name, text in UTILITY:
        yield from (("utility", name, text, w, around, None) for w, around in AROUND_UTILITY.items())
    for name, text, leak in SECRET:
        yield from (("secret", name, text, w, around, leak) for w, around in AROUND_QUERY.items())
    for name, text, expected in ALLOWED:
        yield from (("allowed", name, text, w, around, expected) for w, around in AROUND_QUERY.items())


def said_otherwise(dice, text):
    names = dice.sample(sorted(MUTATIONS), dice.choice((0, 1, 1, 2)))
    for name in names:
        text = MUTATIONS[name](dice, text)
    return names, text


def case(kind, name, wrapper, names, text, said):
    found = {"id": "-".join(["gen", kind, name, wrapper, *names]), "engine": "postgresql", "class": "gen-" + kind,
             "kind": "benign" if kind == "allowed" else "attack", "setup": [], "statements": [{"sql": text}],
             "transport": "extended" if wrapper == "extended" else "simple"}
    if kind == "allowed":
        found["expect"] = [said]
    else:
        found["proof"] = {"leak": said} if said else {"sql": STATE}
    return found


def cases(seed, count):
    """So many of them, from every kind alike."""
    dice = random.Random(seed)
    kinds = {}
    for shape in shapes():
        kinds.setdefault(shape[0], []).append(shape)
    made = {}
    for kind, found in sorted(kinds.items()):
        for _, name, text, wrapper, around, said in dice.sample(found, min(len(found), count // len(kinds))):
            whole = around.replace("{quoted}", text.replace("'", "''")).replace("{q}", text)
            names, whole = said_otherwise(dice, whole)
            one = case(kind, name, wrapper, names, whole, said)
            made[one["id"]] = one
    return list(made.values())
