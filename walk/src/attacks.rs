//! What a person with a read grant may try, and what is refused of it.

/// Commands on one connection, each of which must be answered with an error, and one of them with this code.
pub(crate) struct Attack {
    pub(crate) what: &'static str,
    pub(crate) sql: &'static [&'static str],
    pub(crate) code: &'static str,
}

const UPDATE: &str = "UPDATE public.orders SET total = 0";

/// Everything that is tried.
pub(crate) const ATTACKS: &[Attack] = &[
    Attack { what: "SET ROLE", sql: &["SET ROLE postgres", UPDATE], code: "BLY-1005" },
    Attack {
        what: "SET SESSION AUTHORIZATION",
        sql: &["SET SESSION AUTHORIZATION postgres", UPDATE],
        code: "BLY-1005",
    },
    Attack {
        what: "SET default_transaction_read_only",
        sql: &["SET default_transaction_read_only = off", UPDATE],
        code: "BLY-1005",
    },
    Attack {
        what: "set_config in a SELECT",
        sql: &["SELECT set_config('default_transaction_read_only', 'off', false)", UPDATE],
        code: "BLY-1005",
    },
    Attack { what: "BEGIN READ WRITE", sql: &["BEGIN READ WRITE", UPDATE], code: "BLY-1001" },
    Attack {
        what: "a write hidden in a CTE",
        sql: &["WITH gone AS (DELETE FROM public.items RETURNING *) SELECT count(*) FROM gone"],
        code: "BLY-1001",
    },
    Attack { what: "a write in a second statement", sql: &["SELECT 1; DELETE FROM public.items"], code: "BLY-1001" },
    Attack {
        what: "a write behind EXPLAIN ANALYZE",
        sql: &["EXPLAIN ANALYZE DELETE FROM public.items"],
        code: "BLY-1001",
    },
    Attack {
        what: "a write in PREPARE",
        sql: &["PREPARE p AS DELETE FROM public.items", "EXECUTE p"],
        code: "BLY-1001",
    },
    Attack { what: "DO", sql: &["DO $$ BEGIN DELETE FROM public.items; END $$"], code: "BLY-1004" },
    Attack { what: "DROP TABLE", sql: &["DROP TABLE public.items"], code: "BLY-1002" },
    Attack { what: "TRUNCATE", sql: &["TRUNCATE public.items"], code: "BLY-1002" },
    Attack { what: "GRANT to everybody", sql: &["GRANT ALL ON public.orders TO PUBLIC"], code: "BLY-1003" },
    Attack { what: "row locks", sql: &["SELECT id FROM public.orders FOR UPDATE"], code: "BLY-1001" },
    Attack { what: "nextval", sql: &["SELECT nextval('public.orders_id_seq')"], code: "BLY-1006" },
    Attack {
        what: "COPY TO PROGRAM",
        sql: &["COPY public.orders TO PROGRAM 'cat > /tmp/belay-demo-stolen'"],
        code: "BLY-1009",
    },
    Attack { what: "COPY FROM", sql: &["COPY public.orders FROM '/etc/passwd'"], code: "BLY-1009" },
    Attack { what: "reading a server's file", sql: &["SELECT pg_read_file('/etc/passwd')"], code: "BLY-1006" },
    Attack { what: "ending other people's sessions", sql: &["SELECT pg_terminate_backend(1)"], code: "BLY-1006" },
    Attack { what: "a schema outside the grant", sql: &["SELECT * FROM hr.salaries"], code: "BLY-1007" },
    Attack {
        what: "the same inside a subquery",
        sql: &["SELECT (SELECT max(amount) FROM hr.salaries) FROM public.orders LIMIT 1"],
        code: "BLY-1007",
    },
    Attack { what: "what is no SQL at all", sql: &["DELETE/**/FRM public.items"], code: "BLY-1004" },
];
