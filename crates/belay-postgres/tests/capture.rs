//! What a transaction changed, taken row by row on a real PostgreSQL, held against what is really different.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step fails the test")]

#[path = "capture/bed.rs"]
mod bed;

use bed::{Bed, Kept, between, counts, of, rows, server};
use belay_change::{Generated, Means};
use belay_model::Relation;
use belay_postgres::capture::{CLOSE, Counted, Hint, Limits, OPENING, capture_open};

#[tokio::test]
async fn an_update_is_told_by_the_key_and_nothing_else_is() {
    let mut bed = Bed::with(
        "CREATE TABLE t(id int PRIMARY KEY, v text, n int); INSERT INTO t SELECT g, 'v' || g, g FROM generate_series(1, 50) g",
    )
    .await;
    let (set, _) = bed.exact(&["UPDATE t SET v = v || '!', n = n * 2 WHERE id BETWEEN 10 AND 30"]).await;
    assert_eq!(counts(&set, "t"), (0, 21, 0));
    assert_eq!(of(&set, "t").table.key, [0]);
    assert!(set.transaction.is_some());
    let (set, kept) = bed.exact(&["UPDATE t SET v = 'never' WHERE id = 1000"]).await;
    assert_eq!((set.tables.len(), kept.images.len()), (0, 0));
    let (set, _) = bed.exact(&["SELECT 1"]).await;
    assert_eq!((set.tables.len(), set.transaction), (0, None));
}

#[tokio::test]
async fn what_earlier_transactions_of_the_connection_wrote_does_not_count() {
    let mut bed = Bed::with("CREATE TABLE t(id int PRIMARY KEY, v text)").await;
    bed.writer.batch_execute("INSERT INTO t SELECT g, 'a' FROM generate_series(1, 300) g").await.unwrap();
    for _ in 0..5 {
        let (set, _) = bed.exact(&["UPDATE t SET v = v || '+' WHERE id < 4"]).await;
        assert_eq!(counts(&set, "t"), (0, 3, 0));
    }
}

#[tokio::test]
async fn rows_that_foreign_keys_remove_over_three_levels_are_taken() {
    let mut bed = Bed::with(
        "CREATE TABLE p(id int PRIMARY KEY);
         CREATE TABLE c(id int PRIMARY KEY, pid int NOT NULL REFERENCES p ON DELETE CASCADE);
         CREATE TABLE g(id int PRIMARY KEY, cid int REFERENCES c ON DELETE SET NULL, v text);
         INSERT INTO p SELECT g FROM generate_series(1, 4) g;
         INSERT INTO c SELECT g, g % 4 + 1 FROM generate_series(1, 12) g;
         INSERT INTO g SELECT g, g % 12 + 1, 'g' FROM generate_series(1, 40) g",
    )
    .await;
    let mut kept = Kept::default();
    let before = bed.content().await;
    let mut transaction = bed.begin("BEGIN").await;
    transaction.name(&[Relation { schema: None, name: "p".to_owned() }]);
    bed.writer.batch_execute("DELETE FROM p WHERE id IN (1, 3)").await.unwrap();
    let set = bed.end(transaction, &mut kept).await.unwrap();
    assert_eq!(kept.difference(), between(before, bed.content().await));
    assert_eq!((counts(&set, "p"), counts(&set, "c")), ((0, 0, 2), (0, 0, 6)));
    let indirect: Vec<bool> = ["p", "c", "g"].iter().map(|table| of(&set, table).indirect).collect();
    assert_eq!(indirect, [false, true, true]);
}

#[tokio::test]
async fn whatever_way_a_write_takes_its_rows_are_taken() {
    let mut bed = Bed::with(
        "CREATE TABLE t(id int PRIMARY KEY, v text, hits int DEFAULT 0);
         CREATE TABLE u(id int PRIMARY KEY, v text);
         CREATE TABLE audit(n serial PRIMARY KEY, what text, at timestamptz DEFAULT clock_timestamp());
         CREATE TABLE late(id int PRIMARY KEY, v text);
         CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS
           $$BEGIN INSERT INTO audit(what) VALUES (tg_op || coalesce(old.id, new.id)); RETURN NULL; END$$;
         CREATE TRIGGER a AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION log();
         CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS
           $$BEGIN INSERT INTO late VALUES (new.id, new.v) ON CONFLICT (id) DO UPDATE SET v = excluded.v; RETURN NULL; END$$;
         CREATE CONSTRAINT TRIGGER b AFTER INSERT OR UPDATE ON u DEFERRABLE INITIALLY DEFERRED
           FOR EACH ROW EXECUTE FUNCTION late();
         CREATE FUNCTION f(n int) RETURNS int LANGUAGE plpgsql AS
           $$BEGIN DELETE FROM u WHERE id <= n; UPDATE t SET hits = hits + n WHERE id > n; RETURN 1; END$$;
         CREATE VIEW w AS SELECT id, v FROM u;
         INSERT INTO t SELECT g, 'a', 0 FROM generate_series(1, 9) g;
         INSERT INTO u SELECT g, 'u' FROM generate_series(1, 9) g",
    )
    .await;
    let (set, _) = bed.exact(&["UPDATE t SET v = 'q'", "DELETE FROM t WHERE id = 9"]).await;
    assert_eq!((counts(&set, "t"), counts(&set, "audit")), ((0, 8, 1), (10, 0, 0)));
    assert_eq!(set.sequences, ["public.audit_n_seq"]);
    bed.exact(&["SELECT f(2)"]).await;
    let (set, _) = bed.exact(&["UPDATE w SET v = 'view' WHERE id = 5"]).await;
    assert_eq!((counts(&set, "u"), counts(&set, "late")), ((0, 1, 0), (0, 1, 0)));
    bed.exact(&["INSERT INTO t(id, v) VALUES (1, 'A'), (20, 'C') ON CONFLICT (id) DO UPDATE SET v = excluded.v"]).await;
    bed.exact(&["DO $$BEGIN EXECUTE 'delete from ' || 'u where id = 7'; END$$"]).await;
    bed.exact(&["WITH d AS (DELETE FROM u WHERE id = 3 RETURNING *) INSERT INTO t SELECT id + 100, v FROM d"]).await;
    bed.exact(&["INSERT INTO u VALUES (70, 'x')", "UPDATE u SET v = 'y' WHERE id = 70", "DELETE FROM u WHERE id = 70"])
        .await;
    if server().await.major() >= 15 {
        let merge = "MERGE INTO t USING (VALUES (1, 'A'), (2, NULL), (90, 'N')) s(id, v) ON t.id = s.id \
            WHEN MATCHED AND s.v IS NULL THEN DELETE WHEN MATCHED THEN UPDATE SET v = s.v \
            WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v)";
        bed.exact(&[merge]).await;
    }
}

#[tokio::test]
async fn rows_that_move_between_partitions_and_children_are_taken() {
    let mut bed = Bed::with(
        "CREATE TABLE t(id int, r int, v text, PRIMARY KEY (id, r)) PARTITION BY RANGE (r);
         CREATE TABLE t_a PARTITION OF t FOR VALUES FROM (0) TO (10);
         CREATE TABLE t_b(v text, r int NOT NULL, id int NOT NULL, PRIMARY KEY (id, r));
         ALTER TABLE t ATTACH PARTITION t_b FOR VALUES FROM (10) TO (20);
         CREATE TABLE t_d PARTITION OF t DEFAULT;
         INSERT INTO t SELECT g, g, 'v' || g FROM generate_series(0, 29) g;
         CREATE TABLE base(id int, v text); CREATE TABLE child(extra text) INHERITS (base);
         INSERT INTO base VALUES (1, 'b'); INSERT INTO child VALUES (2, 'c', 'e'), (3, 'c', 'f')",
    )
    .await;
    let mut kept = Kept::default();
    let before = bed.content().await;
    let mut transaction = bed.begin("BEGIN").await;
    transaction.name(&[Relation { schema: Some("public".to_owned()), name: "t".to_owned() }]);
    bed.writer.batch_execute("UPDATE t SET r = r + 7 WHERE id < 10; DELETE FROM t_b WHERE id = 15").await.unwrap();
    let set = bed.end(transaction, &mut kept).await.unwrap();
    assert_eq!(kept.difference(), between(before, bed.content().await));
    assert!(set.tables.iter().all(|change| !change.indirect), "{set:?}");
    bed.exact(&["UPDATE base SET v = v || '!'", "DELETE FROM base WHERE id = 3"]).await;
}

#[tokio::test]
async fn what_a_savepoint_took_back_is_not_taken() {
    let mut bed =
        Bed::with("CREATE TABLE t(id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
            .await;
    let (set, _) = bed
        .exact(&[
            "UPDATE t SET v = 'x' WHERE id = 1",
            "SAVEPOINT belay_capture",
            "DELETE FROM t",
            "INSERT INTO t VALUES (9, 'n')",
            "ROLLBACK TO belay_capture",
            "SAVEPOINT b",
            "UPDATE t SET v = 'y' WHERE id = 2",
            "RELEASE b",
        ])
        .await;
    assert_eq!(counts(&set, "t"), (0, 2, 0));
    bed.exact(&["SAVEPOINT s", "DELETE FROM t", "ROLLBACK TO s"]).await;
}

#[tokio::test]
async fn rows_without_a_key_are_counted_with_their_doubles() {
    let mut bed = Bed::with(
        "CREATE TABLE t(a int, b text);
         INSERT INTO t VALUES (1, 'x'), (1, 'x'), (1, 'x'), (2, 'y'), (NULL, NULL), (NULL, NULL)",
    )
    .await;
    let (set, _) = bed
        .exact(&[
            "DELETE FROM t WHERE ctid = (SELECT min(ctid) FROM t WHERE a = 1)",
            "UPDATE t SET b = 'z' WHERE a IS NULL",
        ])
        .await;
    assert_eq!(counts(&set, "t"), (2, 0, 3));
    assert!(of(&set, "t").table.key.is_empty());
}

#[tokio::test]
async fn names_and_values_of_any_kind_come_through_exactly() {
    let mut bed = Bed::with(
        "CREATE SCHEMA \"My-Schema\"; CREATE TYPE mood AS ENUM ('ok', 'bad'); CREATE TYPE comp AS (x int, y text);
         CREATE TABLE \"My-Schema\".\"Tab\"\"le ü\"(\"Id\" int PRIMARY KEY, \"select\" text, belay_row text, \"%s\" int);
         INSERT INTO \"My-Schema\".\"Tab\"\"le ü\" VALUES (1, 'x', 'y', 7), (2, E'q\\n,\"\\\\(', 'y2', 8);
         CREATE TABLE f(id int PRIMARY KEY, f float8, d date, i interval, b bytea, ts timestamptz, j json, m mood,
           c comp, r int4range, mo money, rc regclass, n numeric GENERATED ALWAYS AS (id * 2) STORED,
           e int GENERATED ALWAYS AS IDENTITY);
         INSERT INTO f VALUES (1, 0.1::float8 + 0.2, '2024-05-04', '-1 year 2 days', '\\x0001',
           '2024-05-04 03:02:01.000001+00', '{\"b\":1,   \"a\":2}', 'ok', '(1,\"q\"\"z,\")', '(1,5]', '$1234.50', 'f'),
           (2, '-0', 'infinity', '0', '', '0044-03-15 BC', '\"\\u0000\"', 'bad', NULL, 'empty', 0, 'pg_class'),
           (3, 'NaN', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
         CREATE FUNCTION nothing(f) RETURNS text LANGUAGE sql AS 'SELECT ''nothing''::text';
         CREATE CAST (f AS text) WITH FUNCTION nothing(f)",
    )
    .await;
    bed.exact(&[
        "UPDATE \"My-Schema\".\"Tab\"\"le ü\" SET \"select\" = NULL WHERE \"Id\" = 1",
        "DELETE FROM \"My-Schema\".\"Tab\"\"le ü\" WHERE \"Id\" = 2",
    ])
    .await;
    let lossy = "SET extra_float_digits = 0; SET datestyle = 'SQL, DMY'; SET intervalstyle = 'sql_standard'; \
        SET bytea_output = 'escape'; SET timezone = 'America/New_York'; SET quote_all_identifiers = on; \
        SET standard_conforming_strings = off; SET client_encoding = 'LATIN1'";
    bed.writer.batch_execute(lossy).await.unwrap();
    let (set, _) = bed.exact(&["UPDATE f SET j = NULL WHERE id = 2", "DELETE FROM f WHERE id <> 2"]).await;
    let columns = &of(&set, "f").table.columns;
    assert_eq!(columns[7].type_name, "public.mood");
    assert_eq!((columns[12].generated, columns[13].generated), (Generated::Stored, Generated::IdentityAlways));
    assert_eq!(bed::rows(&bed.writer, "SHOW timezone").await[0][0].as_deref(), Some("America/New_York"));
    assert_eq!(bed::rows(&bed.writer, "SHOW extra_float_digits").await[0][0].as_deref(), Some("0"));
}

#[tokio::test]
async fn virtual_columns_are_part_of_the_image() {
    if server().await.major() < 18 {
        return;
    }
    let mut bed = Bed::with(
        "CREATE TABLE t(id int PRIMARY KEY, a int, v int GENERATED ALWAYS AS (a * 2) VIRTUAL);
         INSERT INTO t(id, a) VALUES (1, 5), (2, 6)",
    )
    .await;
    let (set, kept) = bed.exact(&["UPDATE t SET a = a + 1 WHERE id = 1", "DELETE FROM t WHERE id = 2"]).await;
    assert_eq!(of(&set, "t").table.columns[2].generated, Generated::Virtual);
    assert!(kept.images.iter().any(|(.., image)| image == "(1,6,12)"), "{:?}", kept.images);
}

#[tokio::test]
async fn tables_that_are_emptied_are_taken_as_a_whole() {
    let mut bed = Bed::with(
        "CREATE TABLE p(id int PRIMARY KEY, v text); CREATE TABLE c(id int, pid int REFERENCES p);
         INSERT INTO p SELECT g, 'v' FROM generate_series(1, 300) g; INSERT INTO c SELECT g, g FROM generate_series(1, 9) g;
         CREATE TABLE part(id int) PARTITION BY RANGE (id); CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (9);
         INSERT INTO part VALUES (1), (2)",
    )
    .await;
    let (set, _) = bed
        .exact(&["DELETE FROM p WHERE id > 200", "TRUNCATE p CASCADE", "INSERT INTO p VALUES (1, 'v'), (2, 'new')"])
        .await;
    assert_eq!((counts(&set, "p"), counts(&set, "c")), ((0, 1, 298), (0, 0, 9)));
    assert_eq!(of(&set, "c").means, Means::Whole);
    bed.exact(&["INSERT INTO c VALUES (1, 1)", "TRUNCATE c", "INSERT INTO c VALUES (2, 2)", "TRUNCATE c"]).await;
    bed.exact(&["TRUNCATE part"]).await;
    let refused = bed.refused(&["TRUNCATE p CASCADE", "DO $$BEGIN EXECUTE 'alter table p add x int'; END$$"]).await;
    assert!(refused.starts_with("definitions change"), "{refused}");
    let refused = bed.refused(&["TRUNCATE c", "ALTER TABLE c ENABLE ROW LEVEL SECURITY"]).await;
    assert!(refused.starts_with("definitions change"), "{refused}");
    let refused = bed.refused(&["SAVEPOINT s", "TRUNCATE p CASCADE", "ROLLBACK TO s"]).await;
    assert_eq!(refused, "a TRUNCATE of public.p that was rolled back to a savepoint");
}

#[tokio::test]
async fn what_has_no_row_images_is_refused() {
    let mut bed = Bed::with(
        "CREATE TABLE t(id serial PRIMARY KEY, lo oid); INSERT INTO t(lo) VALUES (lo_from_bytea(0, '\\x0102'));
         CREATE TABLE u(id int PRIMARY KEY);
         CREATE FUNCTION empty_it() RETURNS void LANGUAGE plpgsql AS $$BEGIN TRUNCATE t; END$$",
    )
    .await;
    let definitions = "definitions change (in ";
    let cases = [
        (&["DO $$BEGIN EXECUTE 'drop ' || 'table t'; END$$"][..], definitions),
        (&["UPDATE t SET lo = 0", "CREATE TABLE n(id int)"], definitions),
        (&["GRANT SELECT ON t TO PUBLIC"], definitions),
        (&["CREATE ROLE somebody"], definitions),
        (&["COMMENT ON TABLE t IS 'x'"], definitions),
        (&["CREATE TEMP TABLE x AS SELECT 1", "UPDATE t SET lo = 0"], definitions),
        (&["SELECT lo_unlink(lo) FROM t"], "large objects change"),
        (&["SELECT lo_put(lo, 0, 'x') FROM t"], "large objects change"),
        (&["SELECT empty_it()"], definitions),
        (&["LOCK TABLE t", "UPDATE t SET lo = 0"], "a lock of ACCESS EXCLUSIVE on public.t"),
        (&["LOCK TABLE t", "TRUNCATE t"], "a lock of ACCESS EXCLUSIVE on public.t"),
        (&["TRUNCATE t RESTART IDENTITY"], "TRUNCATE ... RESTART IDENTITY sets sequences back"),
        (&["ALTER SEQUENCE t_id_seq RESTART"], definitions),
        (
            &["SET LOCAL session_replication_role = replica", "UPDATE t SET lo = 0"],
            "`session_replication_role` is replica",
        ),
        (&["SET LOCAL track_counts = off", "UPDATE t SET lo = 0"], "the target does not count changes"),
        (&["COMMIT", "BEGIN", "UPDATE t SET lo = lo"], "the transaction is not the one that was begun"),
    ];
    for (statements, expected) in cases {
        let refused = bed.refused(statements).await;
        assert!(refused.starts_with(expected), "{statements:?}: {refused}");
    }
    bed.exact(&["LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE", "UPDATE t SET lo = 0"]).await;
}

#[tokio::test]
async fn rows_on_another_server_are_refused_also_where_nothing_is_written_beside_them() {
    let postgres = server().await;
    let mut bed =
        Bed::with("CREATE TABLE t(id int); CREATE TABLE kept(id int, v text); INSERT INTO kept VALUES (1, 'a')").await;
    let set_up = format!(
        "CREATE EXTENSION postgres_fdw;
         CREATE SERVER there FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{}', dbname '{}');
         CREATE USER MAPPING FOR CURRENT_USER SERVER there OPTIONS (user '{}', password '{}');
         CREATE FOREIGN TABLE far(id int, v text) SERVER there OPTIONS (schema_name 'public', table_name 'kept');
         CREATE VIEW through AS SELECT * FROM far;
         CREATE FUNCTION push() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN DELETE FROM far; RETURN new; END$$;
         CREATE FUNCTION pull() RETURNS void LANGUAGE plpgsql AS $$BEGIN UPDATE far SET v = 'f'; END$$",
        postgres.port(),
        bed.database,
        postgres.superuser(),
        postgres.password(),
    );
    bed.client().await.batch_execute(&set_up).await.unwrap();
    for statements in [
        &["UPDATE far SET v = 'b'"][..],
        &["INSERT INTO far VALUES (2, 'b')"],
        &["DELETE FROM through WHERE id = 1"],
        &["TRUNCATE far"],
        &["SELECT pull()"],
        &["DO $$BEGIN DELETE FROM far; END$$"],
        &["WITH gone AS (DELETE FROM far RETURNING id) SELECT * FROM gone"],
        &["INSERT INTO t VALUES (1)", "UPDATE far SET v = 'b'"],
    ] {
        assert_eq!(bed.refused(statements).await, "public.far is a foreign table", "{statements:?}");
    }
    // Reading them, and what was taken back to a savepoint, is in nobody's way.
    bed.exact(&["INSERT INTO t SELECT id FROM far", "SELECT count(*) FROM through"]).await;
    bed.exact(&["SELECT * FROM far FOR UPDATE"]).await;
    bed.exact(&["SAVEPOINT s", "DELETE FROM far", "ROLLBACK TO s", "INSERT INTO t VALUES (2)"]).await;
}

#[tokio::test]
async fn more_rows_than_may_change_and_tables_too_large_are_refused() {
    let mut bed =
        Bed::with("CREATE TABLE t(id int, v text); INSERT INTO t SELECT g, 'v' FROM generate_series(1, 500) g").await;
    bed.limits.rows = 100;
    assert_eq!(bed.refused(&["UPDATE t SET v = 'x'"]).await, "500 rows change, and at most 100 may");
    bed.exact(&["UPDATE t SET v = 'x' WHERE id <= 100"]).await;
    assert!(bed.refused(&["TRUNCATE t"]).await.contains("200"));
    bed.limits.scan = 0;
    assert!(bed.refused(&["UPDATE t SET v = 'y' WHERE id < 9"]).await.contains("without reading all of it"));
    bed.limits = belay_postgres::capture::Limits { bytes: 10, ..Default::default() };
    assert_eq!(bed.refused(&["UPDATE t SET v = 'y' WHERE id < 9"]).await, "the changed rows are more than 10 bytes");
}

#[tokio::test]
async fn a_writer_that_may_not_see_what_it_left_is_refused() {
    let setup = "CREATE ROLE teller; CREATE ROLE teller_only LOGIN; GRANT teller TO teller_only;
         CREATE TABLE t(id int PRIMARY KEY, tenant int, v text); INSERT INTO t SELECT g, g % 3, 'v' FROM generate_series(1, 9) g;
         CREATE TABLE hidden(id int); GRANT INSERT ON hidden TO teller_only;
         ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (tenant = 1); GRANT ALL ON t TO teller";
    // By a role that was set over one that sees everything.
    let mut bed = Bed::with(setup).await;
    bed.exact(&["SET LOCAL ROLE teller", "UPDATE t SET v = 'z'", "DELETE FROM t WHERE id = 1"]).await;
    // By one that sees a part: its counts have to agree.
    let mut bed = bed.written_by("teller_only").await;
    bed.exact(&["UPDATE t SET v = 'y'"]).await;
    bed.exact(&["DELETE FROM t WHERE id = 4"]).await;
    let refused = bed.refused(&["INSERT INTO hidden VALUES (1)"]).await;
    assert_eq!(refused, "public.hidden is written, and the role `teller_only` may not read it");
}

/// Tables of more than a megabyte, none of which may be scanned.
async fn large() -> Bed {
    let mut bed = Bed::with(
        "CREATE TABLE small(id int PRIMARY KEY, v text); INSERT INTO small SELECT g, 'p' FROM generate_series(1, 20) g;
         CREATE TABLE t(id serial PRIMARY KEY, pid int REFERENCES small ON DELETE CASCADE, n int, v text);
         CREATE INDEX ON t(pid); CREATE INDEX ON t(n);
         INSERT INTO t(pid, n, v) SELECT g % 10 + 1, g, repeat('x', 60) FROM generate_series(1, 30000) g;
         CREATE TABLE node(id text PRIMARY KEY, up text REFERENCES node ON DELETE CASCADE, v text);
         CREATE INDEX ON node(up);
         INSERT INTO node SELECT 'n' || g, CASE WHEN g > 1 THEN 'n' || g / 2 END, repeat('x', 60) FROM generate_series(1, 30000) g;
         CREATE TABLE log(at timestamptz DEFAULT clock_timestamp(), what text); CREATE INDEX ON log(at);
         INSERT INTO log SELECT now(), repeat('y', 60) FROM generate_series(1, 30000) g;
         CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS
           $$BEGIN INSERT INTO log(what) VALUES (tg_op || old.id); RETURN NULL; END$$;
         CREATE TRIGGER a AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION log();
         DELETE FROM t WHERE id = 200",
    )
    .await;
    bed.client().await.batch_execute("VACUUM ANALYZE").await.unwrap();
    bed.limits.scan = 1 << 20;
    bed
}

#[tokio::test]
async fn the_rows_of_a_large_table_are_found_without_reading_all_of_it() {
    let mut bed = large().await;
    for statements in [
        &["UPDATE t SET v = 'short' WHERE id = 77 AND v <> upper('q')"][..],
        &["UPDATE t SET v = repeat('z', 3000), n = -n WHERE 78 = t.id"],
        &["UPDATE t SET id = 100077 WHERE id = 79"],
        &["DELETE FROM t WHERE id IN (5, 6, 7) AND n = 6"],
        &["DELETE FROM t WHERE n BETWEEN 400 AND 450 AND pid <> 3"],
        &["INSERT INTO t(pid, v) VALUES (1, 'by a sequence'), (2, NULL)"],
        &["INSERT INTO t(id, pid, v) VALUES (200, 1, 'a literal')"],
        &["INSERT INTO t(id, v) VALUES (300, 'b'), (400000, 'c') ON CONFLICT (id) DO UPDATE SET v = excluded.v"],
        &["UPDATE t SET v = 'a' WHERE id = 301", "DELETE FROM t WHERE id = 302", "INSERT INTO t(v) VALUES ('d')"],
        &["DELETE FROM node WHERE id = 'n2000'"],
        &["UPDATE node SET v = 'it''s \\' WHERE id = ANY ('{n1,n3}')"],
    ] {
        let before = bed.content().await;
        let (set, kept) = bed.hinted(statements).await.unwrap_or_else(|error| panic!("{statements:?}: {error}"));
        assert_eq!(kept.difference(), between(before, bed.content().await), "{statements:?}");
        assert!(set.tables.iter().all(|change| change.means == Means::Key), "{statements:?} {set:?}");
    }
    // The rows of the large table are found by those of the small one, which was scanned.
    bed.writer.batch_execute("DELETE FROM t WHERE pid = 4 AND id > 1000").await.unwrap();
    let before = bed.content().await;
    let (set, kept) = bed.hinted(&["DELETE FROM small WHERE id = 4"]).await.unwrap();
    assert_eq!(kept.difference(), between(before, bed.content().await));
    assert_eq!((of(&set, "small").means, of(&set, "t").means), (Means::Scan, Means::Key));
}

#[tokio::test]
async fn what_is_not_proven_to_be_all_is_scanned_or_refused() {
    let mut bed = large().await;
    for statements in [
        &["UPDATE t SET v = 'x' WHERE v LIKE 'nothing' OR id + 0 = 9"][..],
        &["UPDATE t SET v = 'x' WHERE id = 9", "UPDATE t SET v = 'y' WHERE id = 9"],
        &["DO $$BEGIN DELETE FROM t WHERE id = 10; END$$"],
    ] {
        bed.limits.scan = 1 << 20;
        let error = bed.hinted(statements).await.err().unwrap_or_else(|| panic!("{statements:?}"));
        assert!(error.to_string().contains("without reading all of it"), "{error}");
        bed.limits.scan = 1 << 30;
        let before = bed.content().await;
        let (set, kept) = bed.hinted(statements).await.unwrap();
        assert_eq!(kept.difference(), between(before, bed.content().await), "{statements:?}");
        assert_eq!(of(&set, "t").means, Means::Scan);
    }
}

#[tokio::test]
async fn parameters_say_where_to_look_too() {
    let mut bed = large().await;
    let transaction = {
        let mut transaction = bed.begin("BEGIN").await;
        let text = "UPDATE t SET v = $2 WHERE id = $1".to_owned();
        transaction.hint(&Hint { text, parameters: vec![Some("500".to_owned()), None] });
        transaction.hint(&Hint { text: "DELETE FROM t WHERE id = 'no number'".to_owned(), parameters: vec![] });
        transaction
    };
    bed.writer.execute("UPDATE t SET v = $2 WHERE id = $1", &[&500_i32, &"new"]).await.unwrap();
    let set = bed.end(transaction, &mut Kept::default()).await.unwrap();
    assert_eq!((counts(&set, "t"), of(&set, "t").means), ((0, 1, 0), Means::Key));
}

#[tokio::test]
async fn what_an_earlier_transaction_wrote_is_looked_up_anew_for_the_next() {
    let setup = "CREATE TABLE t(id int PRIMARY KEY, v text); CREATE TABLE other(id int PRIMARY KEY);
        INSERT INTO t VALUES (1, 'a'), (2, 'b'); INSERT INTO other VALUES (1)";
    let mut bed = Bed::with(setup).await;
    let (set, _) = bed.run(&["UPDATE t SET v = 'x' WHERE id = 1"]).await.unwrap();
    let written: Vec<_> = set.tables.into_iter().map(|change| change.table).collect();
    bed.client().await.batch_execute("ALTER TABLE t ADD w int DEFAULT 5; ALTER TABLE t RENAME v TO u").await.unwrap();
    for statements in [&["UPDATE t SET w = w + 1"][..], &["DELETE FROM t WHERE id = 2", "DELETE FROM other"]] {
        let before = bed.content().await;
        let mut transaction = bed.begin("BEGIN").await;
        transaction.expect(&written);
        transaction.name(&[Relation { schema: None, name: "t".to_owned() }]);
        let (set, kept) = bed.run_in(transaction, statements).await.unwrap();
        assert_eq!(kept.difference(), between(before, bed.content().await), "{statements:?}");
        let t = set.tables.iter().find(|change| change.table.name == "t").unwrap();
        let columns: Vec<&str> = t.table.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(columns, ["id", "u", "w"]);
        assert_eq!(set.tables.len(), statements.len());
    }
}

#[tokio::test]
async fn a_connection_is_asked_for_the_counts_of_those_tables_that_it_has_counted_in() {
    let tables: Vec<String> = (0..20).map(|at| format!("CREATE TABLE t{at}(id int PRIMARY KEY, v int)")).collect();
    let mut bed =
        Bed::with(&format!("{}; INSERT INTO t3 SELECT g, 0 FROM generate_series(1, 9) g", tables.join(";"))).await;
    let mut counted = None;
    for round in 0..4 {
        let opening = counted.as_ref().map_or(OPENING.to_owned(), Counted::opening);
        let before = bed.content().await;
        let transaction = bed.begin_with("BEGIN", &opening).await;
        let statement = format!("WITH x AS (INSERT INTO t{round} VALUES (100, 1)) UPDATE t3 SET v = v + 1");
        bed.writer.batch_execute(&statement).await.unwrap();
        let mut kept = Kept::default();
        let limits = Limits::default();
        let captured = capture_open(&mut bed.writer, &mut bed.outsider, transaction, &limits, &mut kept).await.unwrap();
        bed.writer.batch_execute(&format!("{CLOSE}; COMMIT")).await.unwrap();
        assert_eq!(kept.difference(), between(before, bed.content().await), "round {round}");
        counted = captured.counted;
        assert!(counted.is_some());
    }
    let asked = rows(&bed.writer, &counted.unwrap().opening()).await;
    let numbers: Vec<_> = asked.iter().map(|row| row[1].clone().unwrap()).collect();
    let all: Vec<_> = rows(&bed.writer, OPENING).await.iter().map(|row| row[1].clone().unwrap()).collect();
    assert_eq!(numbers, all);
}
