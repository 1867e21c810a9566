//! Tables moved into the trash and back, on a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step fails the test")]

#[path = "capture/bed.rs"]
#[allow(dead_code, reason = "shared with the other tests of the capture")]
mod bed;

use bed::{Bed, rows};
use belay_postgres::capture::{empty_trash, restore, trash};

const LOOK: &str = "SELECT c.oid, c.relname, c.relfilenode, n.nspname, obj_description(c.oid), c.relacl FROM pg_class c \
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname LIKE 't%' AND n.nspname NOT LIKE 'pg\\_%' \
    AND n.nspname <> 'information_schema' ORDER BY 1";

#[tokio::test]
async fn a_dropped_table_comes_back_as_it_was() {
    let mut bed = Bed::with(
        "CREATE TABLE t(id serial PRIMARY KEY, v text); CREATE INDEX ON t(v); COMMENT ON TABLE t IS 'mine';
         GRANT SELECT ON t TO PUBLIC; INSERT INTO t(v) SELECT 'v' || g FROM generate_series(1, 20) g",
    )
    .await;
    let (before, content) = (rows(&bed.outsider, LOOK).await, bed.content().await);
    // A trial leaves nothing.
    bed.outsider.batch_execute("BEGIN").await.unwrap();
    assert_eq!(trash(&mut bed.outsider, "DROP TABLE t", "c_1", &bed.limits).await.unwrap().len(), 1);
    bed.outsider.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(before, rows(&bed.outsider, LOOK).await);
    // One table of a name after another.
    let mut kept = Vec::new();
    for change in ["c_1", "c_2"] {
        bed.outsider.batch_execute("BEGIN").await.unwrap();
        kept.push(trash(&mut bed.outsider, "DROP TABLE IF EXISTS t, nothing", change, &bed.limits).await.unwrap());
        bed.outsider.batch_execute("COMMIT").await.unwrap();
        bed.client().await.batch_execute("CREATE TABLE t(id serial PRIMARY KEY, v text)").await.unwrap();
    }
    assert_eq!((kept[0][0].name.as_str(), kept[0][0].schema.as_str()), ("t", "public"));
    bed.outsider.batch_execute("BEGIN").await.unwrap();
    let taken = restore(&mut bed.outsider, &kept[0], "c_1", &bed.limits).await.unwrap_err();
    assert!(taken.to_string().contains("already exists"), "{taken}");
    bed.outsider.batch_execute("ROLLBACK; DROP TABLE t; BEGIN").await.unwrap();
    restore(&mut bed.outsider, &kept[0], "c_1", &bed.limits).await.unwrap();
    bed.outsider.batch_execute("COMMIT").await.unwrap();
    bed.outsider.batch_execute(&empty_trash("c_2").unwrap()).await.unwrap();
    assert_eq!((before, content), (rows(&bed.outsider, LOOK).await, bed.content().await));
    bed.outsider.batch_execute("INSERT INTO t(v) VALUES ('goes on')").await.unwrap();
}

#[tokio::test]
async fn what_would_not_come_back_or_not_lie_still_is_refused() {
    let mut bed = Bed::with(
        "CREATE TABLE p(id int PRIMARY KEY); CREATE TABLE t(id int REFERENCES p); CREATE VIEW w AS SELECT * FROM p;
         CREATE TABLE part(id int) PARTITION BY RANGE (id); CREATE TABLE part_1 PARTITION OF part DEFAULT;
         CREATE TABLE free(id int)",
    )
    .await;
    for (sql, expected) in [
        ("DROP TABLE t", "the foreign key t_id_fkey of public.t would go on to hold"),
        ("DROP TABLE p", "cannot drop table p because other objects depend on it"),
        ("DROP TABLE p CASCADE", "DROP TABLE ... CASCADE drops what is not in the tables"),
        ("DROP TABLE part", "is foreign, temporary, or a part of other tables"),
        ("DROP TABLE part_1", "is foreign, temporary, or a part of other tables"),
        ("DROP VIEW w", "only tables can be moved into the trash"),
        ("DROP TABLE free; DROP VIEW w", "only tables can be moved into the trash"),
    ] {
        bed.outsider.batch_execute("BEGIN").await.unwrap();
        let refused = trash(&mut bed.outsider, sql, "c_1", &bed.limits).await.unwrap_err();
        bed.outsider.batch_execute("ROLLBACK").await.unwrap();
        assert!(refused.to_string().contains(expected), "{sql}: {refused}");
    }
    assert!(trash(&mut bed.outsider, "DROP TABLE free", "c\"1", &bed.limits).await.is_err());
}
