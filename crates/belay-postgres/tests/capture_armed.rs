//! What a transaction changed in armed tables, written down by their triggers on a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step fails the test")]

#[path = "capture/bed.rs"]
#[allow(dead_code, reason = "shared with the other tests of the capture")]
mod bed;

use bed::{Bed, Kept, between, counts, of, rows, server};
use belay_change::{Images, Means, Side};
use belay_engine::{ArmedTable, Arming, Control, TargetAccess};
use belay_model::Target;
use belay_postgres::PgControl;
use belay_postgres::capture::CaptureError;
use belay_postgres::revert::{self, How, Strategy};
use tokio_postgres::error::SqlState;

/// What sessions of Belay's that write are called, and how they start.
const WRITER: &str = "belay_test_g1";

/// The control side of the bed's database, in the name of `user`.
async fn control_as(bed: &Bed, user: &str, password: &str) -> PgControl {
    let postgres = server().await;
    let target = Target {
        name: "bed".parse().unwrap(),
        protocol: "postgres".to_owned(),
        host: postgres.host().to_owned(),
        port: postgres.port(),
        database: bed.database.clone(),
        user: user.to_owned(),
        tls: "verify-full".to_owned(),
        ca_pem: Some(postgres.certificates().ca.clone()),
    };
    PgControl::new(&TargetAccess { target, password: password.into() })
}

async fn control(bed: &Bed) -> PgControl {
    let postgres = server().await;
    control_as(bed, postgres.superuser(), postgres.password()).await
}

async fn arm(bed: &Bed, tables: &[&str]) {
    for table in tables {
        assert_eq!(control(bed).await.arm("public", table).await.unwrap(), Arming::Done, "{table}");
    }
}

/// Tables of more than a megabyte, none of which may be scanned, and a session of Belay's.
async fn large() -> Bed {
    let setup = format!(
        "CREATE ROLE {WRITER} LOGIN;
         CREATE TABLE small(id int PRIMARY KEY, v text); INSERT INTO small SELECT g, 'p' FROM generate_series(1, 20) g;
         CREATE TABLE tiny(id int); INSERT INTO tiny SELECT g FROM generate_series(1, 9) g;
         CREATE TABLE t(id serial PRIMARY KEY, pid int REFERENCES small ON DELETE CASCADE, at timestamptz, n float8, v text);
         INSERT INTO t(pid, at, n, v) SELECT g % 10 + 1, '2026-01-01 01:02:03.4'::timestamptz + g * interval '1 hour', g / 3.0,
           repeat('x', 60) FROM generate_series(1, 30000) g;
         CREATE TABLE log(what text, much int); INSERT INTO log SELECT repeat('y', 60), g % 7 FROM generate_series(1, 40000) g;
         CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS
           $$BEGIN INSERT INTO log VALUES (tg_op || old.id, 99); RETURN NULL; END$$;
         CREATE TRIGGER a AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION log();
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {WRITER}; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {WRITER}"
    );
    let bed = Bed::with(&setup).await.written_by(WRITER).await;
    bed.client().await.batch_execute("VACUUM ANALYZE").await.unwrap();
    bed.writer.batch_execute("SET belay.armed = on").await.unwrap();
    Bed { limits: belay_postgres::capture::Limits { scan: 1 << 20, ..Default::default() }, ..bed }
}

/// Images that are there for anybody to see.
async fn images(bed: &Bed) -> i64 {
    let found = rows(&bed.client().await, "SELECT count(*) FROM belay_armed.images").await;
    found[0][0].as_deref().unwrap().parse().unwrap()
}

/// Rows of the capture's own table are no rows of an application.
async fn content(bed: &Bed) -> bed::Content {
    let mut content = bed.content().await;
    content.retain(|table, _| !table.starts_with("belay_armed."));
    content
}

async fn refused(bed: &mut Bed, statements: &[&str]) -> CaptureError {
    let before = content(bed).await;
    let error = bed.hinted(statements).await.err().unwrap_or_else(|| panic!("not refused: {statements:?}"));
    assert_eq!(before, content(bed).await);
    error
}

const BY_NO_KEY: [&[&str]; 10] = [
    &["UPDATE t SET v = 'x' WHERE v LIKE 'nothing' OR id + 0 = 9"],
    &["UPDATE t SET v = 'x' WHERE id = 9", "UPDATE t SET v = 'y' WHERE id = 9"],
    &["DO $$BEGIN DELETE FROM t WHERE id = 10; END$$"],
    &["UPDATE t SET id = id + 1000000 WHERE id + 0 BETWEEN 20 AND 25"],
    &["UPDATE log SET much = 100 WHERE much = 3 AND ctid < '(5,0)'"],
    &["DELETE FROM log WHERE much = 4 AND ctid < '(5,0)'", "INSERT INTO log VALUES (repeat('y', 60), 4)"],
    &[
        "DO $$BEGIN INSERT INTO t(id, v) VALUES (5000000, 'new'); INSERT INTO t(id, v) VALUES (31, 'old') ON CONFLICT (id) DO UPDATE SET v = excluded.v; END$$",
    ],
    &["SAVEPOINT a", "DELETE FROM t WHERE id + 0 < 100", "ROLLBACK TO a", "UPDATE t SET n = -n WHERE id + 0 = 40"],
    &[
        "SET LOCAL datestyle = 'SQL, DMY'",
        "SET LOCAL extra_float_digits = 0",
        "SET LOCAL timezone = 'Asia/Tokyo'",
        "UPDATE t SET v = NULL WHERE id + 0 = 50",
    ],
    &[
        "DO $$BEGIN DELETE FROM t WHERE id = 60; INSERT INTO t(id, v) VALUES (60, 'again'); DELETE FROM t WHERE id = 60; END$$",
    ],
];

#[tokio::test]
async fn what_cannot_be_found_by_key_in_a_large_table_is_taken_where_it_is_armed() {
    let mut bed = large().await;
    for statements in BY_NO_KEY {
        match refused(&mut bed, statements).await {
            CaptureError::TooLarge { what, instead } => {
                assert!(what.contains("without reading all of it"), "{what}");
                assert!(instead.contains("belay target arm TARGET public."), "{instead}");
            }
            other => panic!("{statements:?}: {other:?}"),
        }
    }
    arm(&bed, &["t", "log"]).await;
    for statements in BY_NO_KEY {
        let before = content(&bed).await;
        let (set, kept) = bed.hinted(statements).await.unwrap_or_else(|error| panic!("{statements:?}: {error}"));
        assert_eq!(kept.difference(), between(before, content(&bed).await), "{statements:?}");
        assert!(set.tables.iter().all(|change| change.means == Means::Armed), "{statements:?} {set:?}");
        assert_eq!(images(&bed).await, 0, "{statements:?}");
    }
    // What is found by key still is.
    let (set, _) = bed.hinted(&["UPDATE t SET v = 'short' WHERE id = 77"]).await.unwrap();
    assert_eq!((of(&set, "t").means, images(&bed).await), (Means::Key, 0));
}

#[tokio::test]
async fn cascades_into_an_armed_table_and_its_triggers_own_writes_are_taken() {
    let mut bed = large().await;
    arm(&bed, &["t", "log"]).await;
    let before = content(&bed).await;
    let (set, kept) = bed.hinted(&["DELETE FROM small WHERE id IN (1, 7)"]).await.unwrap();
    assert_eq!(kept.difference(), between(before, content(&bed).await));
    assert_eq!((counts(&set, "t"), counts(&set, "log")), ((0, 0, 6000), (6000, 0, 0)));
    let means = ["small", "t", "log"].map(|table| of(&set, table).means);
    assert_eq!(means, [Means::Scan, Means::Armed, Means::Armed]);
    assert!(of(&set, "t").indirect && images(&bed).await == 0);
}

#[tokio::test]
async fn rows_are_given_back_past_the_trigger_of_an_armed_table_by_every_strategy() {
    let mut bed = large().await;
    // A control user whose name begins as those of Belay's sessions do.
    let client = bed.client().await;
    client
        .batch_execute(&format!(
            "CREATE ROLE belay_keeper LOGIN PASSWORD 'kept'; GRANT CREATE, TEMPORARY ON DATABASE {} TO belay_keeper;
             GRANT ALL ON t, small TO belay_keeper; DROP TRIGGER a ON t",
            bed.database
        ))
        .await
        .unwrap();
    let keeper = control_as(&bed, "belay_keeper", "kept").await;
    assert_eq!(keeper.arm("public", "t").await.unwrap(), Arming::Done);
    bed.outsider = server().await.login("belay_keeper", "kept", &bed.database).await.unwrap();
    let before = content(&bed).await;
    for strategy in [Strategy::Fire, Strategy::Disable, Strategy::Replica] {
        let statements =
            ["UPDATE t SET v = 'x', n = -n WHERE id + 0 BETWEEN 5 AND 9", "DELETE FROM t WHERE id + 0 = 10"];
        let (set, kept) = bed.hinted(&statements).await.unwrap();
        assert_eq!(of(&set, "t").means, Means::Armed);
        if strategy == Strategy::Fire {
            assert_eq!(revert::strategy(&mut bed.outsider, &set.tables).await.unwrap(), Strategy::Fire);
            revert::can_revert(&mut bed.outsider, strategy, &set.tables).await.unwrap();
        }
        let mut by = if strategy == Strategy::Fire {
            server().await.login("belay_keeper", "kept", &bed.database).await.unwrap()
        } else {
            bed.client().await
        };
        let how = How { strategy: Some(strategy), ..How::default() };
        let mut rows = Taken(kept.images.into_iter());
        let back = revert::revert(&mut by, &set, &mut rows, &mut Kept::default(), &how).await.unwrap();
        back.commit().await.unwrap();
        assert_eq!((content(&bed).await, images(&bed).await), (before.clone(), 0), "{strategy:?}");
    }
}

/// Images that were kept, to be given back.
struct Taken(std::vec::IntoIter<(u16, Side, String)>);

impl Images for Taken {
    fn next(&mut self) -> std::io::Result<Option<(u16, Side, Vec<u8>)>> {
        Ok(self.0.next().map(|(table, side, image)| (table, side, image.into_bytes())))
    }
}

#[tokio::test]
async fn more_than_a_capture_may_hold_is_refused_for_armed_tables_too() {
    let mut bed = large().await;
    arm(&bed, &["t"]).await;
    bed.limits.rows = 100;
    let error = refused(&mut bed, &["UPDATE t SET v = 'x' WHERE id + 0 <= 101"]).await;
    assert_eq!(error.to_string(), "101 rows change, and at most 100 may");
    bed.limits.rows = 1000;
    bed.limits.bytes = 500;
    let error = refused(&mut bed, &["UPDATE t SET v = 'x' WHERE id + 0 <= 101"]).await;
    assert_eq!(error.to_string(), "the changed rows are more than 500 bytes");
    assert_eq!(images(&bed).await, 0);
}

#[tokio::test]
async fn whoever_keeps_the_trigger_from_seeing_a_row_is_refused() {
    let mut bed = large().await;
    arm(&bed, &["t", "log", "tiny"]).await;
    let client = bed.client().await;
    client
        .batch_execute(
            "CREATE FUNCTION past() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN
               SET LOCAL session_replication_role = replica; UPDATE t SET v = 'unseen' WHERE id = 5;
               SET LOCAL session_replication_role = origin; END$$",
        )
        .await
        .unwrap();
    let update = "UPDATE t SET v = 'x' WHERE id + 0 = 9";
    for (statements, expected) in [
        (&["SET LOCAL belay.armed = off", update][..], "without reading all of it"),
        (&[update, "SET LOCAL belay.armed = off", "UPDATE log SET much = 8 WHERE ctid = '(0,1)'"], "public.log"),
        (&["SELECT past()", update], "what the trigger of public.t has written down is not all"),
        (&["SELECT past()", "SAVEPOINT a", update, "ROLLBACK TO a", update], "is not all"),
        (&[update, "SELECT belay_armed.clear()"], "were tampered with"),
        // Emptying a table takes its events out of the counts, and leaves their images.
        (
            &[
                "DELETE FROM tiny WHERE id = 1",
                "SET LOCAL belay.armed = off",
                update,
                "SET LOCAL belay.armed = on",
                "TRUNCATE tiny",
            ],
            "public.t has written down is not all",
        ),
    ] {
        let error = refused(&mut bed, statements).await;
        assert!(error.to_string().contains(expected), "{statements:?}: {error}");
        assert_eq!(images(&bed).await, 0);
    }
    for sql in [
        "INSERT INTO belay_armed.images VALUES ('1', 1, 'a', 'b')",
        "SELECT * FROM belay_armed.images",
        "SELECT secret FROM belay_armed.kept",
        "DELETE FROM belay_armed.tables",
        "SELECT belay_armed.open('guessed', 't'::regclass)",
        "SELECT belay_armed.image()",
        "ALTER TABLE t DISABLE TRIGGER belay_armed",
        "DROP TRIGGER belay_armed ON t",
        "SET session_replication_role = replica",
        "CREATE TRIGGER mine AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION belay_armed.image()",
        "DROP SCHEMA belay_armed CASCADE",
    ] {
        let error = bed.writer.batch_execute(sql).await.err().unwrap_or_else(|| panic!("not refused: {sql}"));
        assert_eq!(error.code().map(SqlState::code), Some("42501"), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_table_whose_trigger_is_not_as_it_was_made_counts_as_not_armed_until_it_is_armed_again() {
    let mut bed = large().await;
    arm(&bed, &["t"]).await;
    let update = &["UPDATE t SET v = v || 'x' WHERE id + 0 = 9"];
    bed.hinted(update).await.unwrap();
    let client = bed.client().await;
    for sql in [
        "ALTER TABLE t DISABLE TRIGGER belay_armed",
        "ALTER TABLE t ENABLE ALWAYS TRIGGER belay_armed",
        "DROP TRIGGER belay_armed ON t",
        "CREATE OR REPLACE TRIGGER belay_armed AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION belay_armed.image()",
        "ALTER FUNCTION belay_armed.image() RESET datestyle",
        "ALTER FUNCTION belay_armed.image() SECURITY INVOKER; GRANT ALL ON belay_armed.images TO PUBLIC",
        "CREATE FUNCTION belay_armed.more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION belay_armed.image() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN
            INSERT INTO belay_armed.images VALUES (pg_current_xact_id(), tg_relid, 'forged', 'forged'); RETURN NULL; END$$",
    ] {
        client.batch_execute(sql).await.unwrap();
        let error = refused(&mut bed, update).await;
        assert!(error.to_string().contains("without reading all of it"), "{sql}: {error}");
        let listed = control(&bed).await.armed().await.unwrap();
        assert_eq!(listed, [ArmedTable { table: "public.t".to_owned(), sound: false }], "{sql}");
        client.batch_execute("REVOKE ALL ON belay_armed.images FROM PUBLIC; DROP FUNCTION IF EXISTS belay_armed.more()").await.unwrap();
        arm(&bed, &["t"]).await;
        let (set, _) = bed.hinted(update).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(of(&set, "t").means, Means::Armed, "{sql}");
    }
}

#[tokio::test]
async fn nobody_but_sessions_of_belay_leaves_images_and_no_end_of_theirs_does() {
    let bed = large().await;
    arm(&bed, &["t"]).await;
    let application = bed.client().await;
    for setting in ["", "SET belay.armed = on;"] {
        application.batch_execute(&format!("{setting} UPDATE t SET v = 'app' WHERE id < 50")).await.unwrap();
        assert_eq!(images(&bed).await, 0);
    }
    let size = rows(&application, "SELECT pg_relation_size('belay_armed.images')").await;
    assert_eq!(size[0][0].as_deref(), Some("0"));
    bed.writer.batch_execute("BEGIN; UPDATE t SET v = 'mine' WHERE id < 50; ROLLBACK").await.unwrap();
    assert_eq!(images(&bed).await, 0);
    bed.writer.batch_execute("BEGIN; UPDATE t SET v = 'mine' WHERE id < 50").await.unwrap();
    let killed = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{WRITER}'");
    assert_eq!(rows(&application, &killed).await.len(), 1);
    assert!(bed.writer.batch_execute("COMMIT").await.is_err());
    assert_eq!(images(&bed).await, 0);
}

#[tokio::test]
async fn what_has_no_rows_of_its_own_is_not_armed_and_is_told_why() {
    let bed = Bed::with(
        "CREATE TABLE t(id int PRIMARY KEY, v text); CREATE VIEW w AS SELECT * FROM t; CREATE MATERIALIZED VIEW m AS SELECT * FROM t;
         CREATE TABLE parts(id int) PARTITION BY RANGE (id); CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM (0) TO (9);
         CREATE TABLE parts_b PARTITION OF parts FOR VALUES FROM (9) TO (99); CREATE SEQUENCE s;
         CREATE FOREIGN DATA WRAPPER fdw; CREATE SERVER far FOREIGN DATA WRAPPER fdw; CREATE FOREIGN TABLE f(id int) SERVER far",
    )
    .await;
    let control = control(&bed).await;
    for (schema, table, expected) in [
        ("public", "w", "public.w is a view: it has no rows of its own"),
        ("public", "m", "public.m is a view: it has no rows of its own"),
        ("public", "parts", "public.parts is partitioned: its rows are in its partitions"),
        ("public", "f", "public.f is a foreign table: its rows are on another server"),
        ("public", "s", "public.s is not a table"),
        ("public", "nothing", "there is no table `public.nothing` in the target"),
        ("pg_catalog", "pg_class", "pg_catalog.pg_class is not a table of an application"),
    ] {
        match control.arm(schema, table).await.unwrap() {
            Arming::Refused { what, instead } => {
                assert_eq!(what, expected);
                assert!(table != "parts" || instead.contains("public.parts_a, public.parts_b"), "{instead}");
            }
            Arming::Done => panic!("{table} is armed"),
        }
    }
    assert_eq!(control.armed().await.unwrap(), []);
    let client = bed.client().await;
    for table in ["parts_a", "parts_b", "t"] {
        assert_eq!(control.arm("public", table).await.unwrap(), Arming::Done);
    }
    // What is gone is armed no more, and what has lost its trigger can be disarmed.
    client.batch_execute("DROP TABLE parts_b; DROP TRIGGER belay_armed ON t").await.unwrap();
    let listed = |table: &str, sound| ArmedTable { table: table.to_owned(), sound };
    assert_eq!(control.armed().await.unwrap(), [listed("public.parts_a", true), listed("public.t", false)]);
    assert_eq!(control.disarm("public", "t").await.unwrap(), Arming::Done);
    assert_eq!(control.armed().await.unwrap(), [listed("public.parts_a", true)]);
}

#[tokio::test]
async fn columns_that_triggers_are_not_given_are_not_taken_from_them() {
    if server().await.major() < 18 {
        return;
    }
    let mut bed = large().await;
    arm(&bed, &["t"]).await;
    let client = bed.client().await;
    client.batch_execute("ALTER TABLE t ADD COLUMN twice float8 GENERATED ALWAYS AS (n * 2) VIRTUAL").await.unwrap();
    let error = refused(&mut bed, &["UPDATE t SET v = 'x' WHERE id + 0 = 9"]).await;
    assert!(error.to_string().contains("without reading all of it"), "{error}");
    match control(&bed).await.arm("public", "t").await.unwrap() {
        Arming::Refused { what, .. } => assert!(what.contains("virtual generated columns"), "{what}"),
        Arming::Done => panic!("armed"),
    }
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_and_rights_that_suffice_do() {
    let bed = Bed::with(
        "CREATE ROLE keeper LOGIN PASSWORD 'kept'; CREATE TABLE t(id int PRIMARY KEY, v text);
         CREATE SCHEMA hidden; CREATE TABLE hidden.t(id int)",
    )
    .await;
    let keeper = control_as(&bed, "keeper", "kept").await;
    let client = bed.client().await;
    let told = |armed: Arming| match armed {
        Arming::Refused { what, instead } => format!("{what}: {instead}"),
        Arming::Done => panic!("armed"),
    };
    let said = told(keeper.arm("hidden", "t").await.unwrap());
    assert!(said.ends_with("GRANT USAGE ON SCHEMA \"hidden\" TO \"keeper\";"), "{said}");
    let said = told(keeper.arm("public", "t").await.unwrap());
    assert_eq!(
        said,
        "the control user \"keeper\" may not create triggers on public.t: GRANT TRIGGER ON TABLE public.t TO \"keeper\";"
    );
    client.batch_execute("GRANT TRIGGER ON TABLE public.t TO keeper").await.unwrap();
    let said = told(keeper.arm("public", "t").await.unwrap());
    assert!(said.contains("GRANT CREATE ON DATABASE"), "{said}");
    client.batch_execute(&format!("GRANT CREATE ON DATABASE {} TO keeper", bed.database)).await.unwrap();
    assert_eq!(keeper.arm("public", "t").await.unwrap(), Arming::Done);
    assert_eq!(keeper.armed().await.unwrap(), [ArmedTable { table: "public.t".to_owned(), sound: true }]);
    // Another control user does not take over what is not its own.
    let said = told(control(&bed).await.arm("public", "t").await.unwrap());
    assert!(said.contains("belongs to another role"), "{said}");
    // Only an owner may drop a trigger: who does not own the table makes it do nothing.
    assert_eq!(keeper.disarm("public", "t").await.unwrap(), Arming::Done);
    let left = rows(&client, "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'belay_armed'").await;
    assert!(left[0][0].as_deref().unwrap().contains("WHEN (false)"), "{left:?}");
    assert_eq!(keeper.armed().await.unwrap(), []);
    let said = told(keeper.disarm("public", "t").await.unwrap());
    assert!(said.starts_with("public.t is not armed"), "{said}");
    assert_eq!(keeper.arm("public", "t").await.unwrap(), Arming::Done);
    client.batch_execute("ALTER TABLE t OWNER TO keeper").await.unwrap();
    assert_eq!(keeper.disarm("public", "t").await.unwrap(), Arming::Done);
    let left = "SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal UNION ALL SELECT nspname FROM pg_namespace WHERE nspname ~ '^belay'";
    assert_eq!(rows(&client, left).await.len(), 0);
}

#[tokio::test]
async fn a_table_that_is_in_use_is_not_waited_for() {
    let bed = Bed::with("CREATE TABLE t(id int PRIMARY KEY, v text)").await;
    let (busy, application) = (bed.client().await, bed.client().await);
    busy.batch_execute("BEGIN; INSERT INTO t VALUES (1, 'open')").await.unwrap();
    let control = control(&bed).await;
    let writes = async {
        let mut longest = std::time::Duration::ZERO;
        for id in 2..200 {
            let began = std::time::Instant::now();
            application.batch_execute(&format!("INSERT INTO t VALUES ({id}, 'app')")).await.unwrap();
            longest = longest.max(began.elapsed());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        longest
    };
    let (armed, longest) = tokio::join!(control.arm("public", "t"), writes);
    match armed.unwrap() {
        Arming::Refused { what, .. } => assert!(what.starts_with("public.t is in use"), "{what}"),
        Arming::Done => panic!("armed"),
    }
    assert!(longest < std::time::Duration::from_millis(1500), "{longest:?}");
    busy.batch_execute("COMMIT").await.unwrap();
    assert_eq!(control.arm("public", "t").await.unwrap(), Arming::Done);
}
