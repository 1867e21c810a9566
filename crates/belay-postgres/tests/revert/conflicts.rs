//! What others did since: shown three-way, and nothing done.

use crate::fixture::{Bench, Kept};
use belay_postgres::revert::{Conflict, ConflictKind, Conflicts, How, Only, RevertError};

const ORDERS: &[&str] = &[
    "CREATE TABLE orders (id int PRIMARY KEY, v text)",
    "INSERT INTO orders SELECT g, 'v' || g FROM generate_series(1, 5) g",
];

async fn conflicts(bench: &mut Bench, kept: &Kept) -> Conflicts {
    let before = bench.snapshot().await;
    let error = bench.revert(kept, &How::default()).await.expect_err("a conflict");
    assert_eq!(bench.snapshot().await, before, "nothing was done");
    match error {
        RevertError::Conflict(conflicts) => conflicts,
        other => panic!("{other}"),
    }
}

fn conflict(kind: ConflictKind, table: &str, key: &str, row: [Option<&str>; 3]) -> Conflict {
    let [before, left, now] = row.map(|image| image.map(str::to_owned));
    Conflict { table: table.to_owned(), kind, key: vec![key.to_owned()], before, left, now }
}

#[tokio::test]
async fn rows_changed_gone_and_taken_again_are_shown_three_way() {
    let mut bench = Bench::with(ORDERS).await;
    let kept = bench.changed_by(&["UPDATE orders SET v = 'x' WHERE id < 4", "DELETE FROM orders WHERE id = 5"]).await;
    bench
        .write(&[
            "UPDATE orders SET v = 'theirs' WHERE id = 1",
            "DELETE FROM orders WHERE id = 2",
            "INSERT INTO orders VALUES (5, 'new')",
        ])
        .await;
    let found = conflicts(&mut bench, &kept).await;
    let expected = [
        conflict(ConflictKind::Gone, "public.orders", "2", [Some("(2,v2)"), Some("(2,x)"), None]),
        conflict(ConflictKind::Changed, "public.orders", "1", [Some("(1,v1)"), Some("(1,x)"), Some("(1,theirs)")]),
        conflict(ConflictKind::Taken, "public.orders", "5", [Some("(5,v5)"), None, Some("(5,new)")]),
    ];
    assert_eq!(found.samples, expected);
    let text = "1 row of public.orders gone, 1 row of public.orders changed since, \
        1 row of public.orders whose key is in use again";
    assert_eq!(found.to_string(), text);
}

#[tokio::test]
async fn rows_without_a_conflict_are_put_back_where_the_others_may_stay() {
    let mut bench = Bench::with(ORDERS).await;
    let kept = bench.changed_by(&["UPDATE orders SET v = 'x' WHERE id < 4", "DELETE FROM orders WHERE id = 5"]).await;
    bench.write(&["UPDATE orders SET v = 'theirs' WHERE id = 1"]).await;
    let how = How { keep_conflicts: true, ..How::default() };
    let theirs = bench.snapshot().await;
    let (back, left) = bench.revert(&kept, &how).await.unwrap();
    assert_eq!(left.counts.len(), 1);
    let change = back.change_of("orders");
    assert_eq!((change.inserted, change.updated, change.deleted), (1, 2, 0));
    assert_eq!(bench.texts("SELECT v FROM orders ORDER BY id").await, ["theirs", "v2", "v3", "v4", "v5"]);
    bench.revert(&back, &how).await.unwrap();
    assert_eq!(bench.snapshot().await, theirs, "what was put back is taken back, and nothing else");
}

#[tokio::test]
async fn only_the_rows_and_tables_that_are_asked_for_come_back() {
    let mut bench = Bench::with(ORDERS).await;
    bench.write(&["CREATE TABLE \"log book\" (a int, b text, PRIMARY KEY (a, b))"]).await;
    let kept =
        bench.changed_by(&["UPDATE orders SET v = 'x'", "INSERT INTO \"log book\" VALUES (1, 'a, b'), (2, 'c')"]).await;
    let only = |table: &str, keys: &[&str]| {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        How { only: vec![Only { table: table.to_owned(), keys }], ..How::default() }
    };
    bench.revert(&kept, &only("public.orders", &["2", "4"])).await.unwrap();
    assert_eq!(bench.texts("SELECT v FROM orders ORDER BY id").await, ["x", "v2", "x", "v4", "x"]);
    bench.revert(&kept, &only("log book", &["1,\"a, b\""])).await.unwrap();
    assert_eq!(bench.texts("SELECT a FROM \"log book\"").await, ["2"]);
    bench.revert(&kept, &only("log book", &[])).await.expect_err("one of its rows is gone");
    let unknown = bench.revert(&kept, &only("orders", &["77"])).await.expect_err("no such row");
    assert_eq!(unknown.to_string(), "the row `77` of public.orders was not changed");
    let unknown = bench.revert(&kept, &only("nothing", &[])).await.expect_err("no such table");
    assert_eq!(unknown.to_string(), "nothing in `nothing` was changed");
}

const FAMILY: &[&str] = &[
    "CREATE TABLE p (id int PRIMARY KEY, v text)",
    "CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE)",
    "CREATE INDEX ON c (p)",
    "INSERT INTO p SELECT g, 'p' FROM generate_series(1, 3) g",
    "INSERT INTO c VALUES (1, 1), (2, 2)",
];

#[tokio::test]
async fn rows_that_others_refer_to_since_are_not_removed() {
    let mut bench = Bench::with(FAMILY).await;
    let kept = bench.changed_by(&["INSERT INTO p VALUES (10, 'new'), (11, 'new')"]).await;
    bench.write(&["INSERT INTO c VALUES (100, 10)"]).await;
    let found = conflicts(&mut bench, &kept).await;
    let expected = conflict(ConflictKind::Referenced, "public.p", "10", [None, Some("(10,new)"), Some("(100,10)")]);
    assert_eq!(found.samples, [expected]);
    bench.revert(&kept, &How { keep_conflicts: true, ..How::default() }).await.unwrap();
    assert_eq!(bench.texts("SELECT id FROM p ORDER BY 1").await, ["1", "2", "3", "10"]);
}

#[tokio::test]
async fn rows_do_not_come_back_without_what_they_refer_to() {
    let mut bench = Bench::with(FAMILY).await;
    let kept = bench.changed_by(&["DELETE FROM c"]).await;
    bench.write(&["DELETE FROM p WHERE id = 2"]).await;
    let found = conflicts(&mut bench, &kept).await;
    assert_eq!(found.samples, [conflict(ConflictKind::Orphaned, "public.c", "2", [Some("(2,2)"), None, None])]);
    bench.revert(&kept, &How { keep_conflicts: true, ..How::default() }).await.unwrap();
    assert_eq!(bench.texts("SELECT id FROM c").await, ["1"]);
}

#[tokio::test]
async fn what_hangs_on_a_row_that_stays_stays_with_it() {
    let mut bench = Bench::with(FAMILY).await;
    let kept = bench.changed_by(&["DELETE FROM p WHERE id < 3"]).await;
    assert_eq!(kept.set.tables.len(), 2, "the cascade, too");
    bench.write(&["INSERT INTO p VALUES (1, 'theirs')"]).await;
    bench.revert(&kept, &How { keep_conflicts: true, ..How::default() }).await.unwrap();
    assert_eq!(bench.texts("SELECT id || v FROM p ORDER BY 1").await, ["1theirs", "2p", "3p"]);
    assert_eq!(bench.texts("SELECT id FROM c ORDER BY 1").await, ["1", "2"], "their row 1 is one to refer to");
}

#[tokio::test]
async fn a_second_revert_finds_that_all_was_put_back() {
    let mut bench = Bench::with(ORDERS).await;
    let kept = bench.changed_by(&["UPDATE orders SET v = 'x'"]).await;
    bench.revert(&kept, &How::default()).await.unwrap();
    assert_eq!(conflicts(&mut bench, &kept).await.counts[0].rows, 5);
}

#[tokio::test]
async fn of_two_reverts_at_once_one_does_it() {
    for keyed in [true, false] {
        let mut bench = Bench::with(ORDERS).await;
        if !keyed {
            bench.write(&["ALTER TABLE orders DROP CONSTRAINT orders_pkey"]).await;
        }
        let before = bench.snapshot().await;
        let kept = bench.changed_by(&["UPDATE orders SET v = 'x'", "DELETE FROM orders WHERE id = 3"]).await;
        let mut other = bench.beside().await;
        let how = How::default();
        let (one, two) = tokio::join!(bench.revert(&kept, &how), other.revert(&kept, &how));
        let (done, failed): (Vec<_>, Vec<_>) = [one, two].into_iter().partition(Result::is_ok);
        assert_eq!((done.len(), failed.len()), (1, 1));
        let error = failed.into_iter().next().unwrap().unwrap_err();
        assert!(matches!(&error, RevertError::Conflict(_)) || error.is_passing(), "{error}");
        assert_eq!(bench.snapshot().await, before);
    }
}

#[tokio::test]
async fn a_change_that_is_not_committed_yet_is_waited_for() {
    let mut bench = Bench::with(ORDERS).await;
    let kept = bench.changed_by(&["UPDATE orders SET v = 'x'"]).await;
    let other = bench.beside().await;
    other.write(&["BEGIN", "UPDATE orders SET v = 'late' WHERE id = 1"]).await;
    let how = How { lock_timeout: std::time::Duration::from_millis(300), ..How::default() };
    let late = bench.revert(&kept, &how).await.expect_err("the row is locked");
    assert!(late.is_passing(), "{late}");
    let commit = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        other.write(&["COMMIT"]).await;
    };
    let how = How::default();
    let (found, ()) = tokio::join!(bench.revert(&kept, &how), commit);
    let RevertError::Conflict(found) = found.expect_err("it was changed") else { panic!("no conflict") };
    let expected =
        conflict(ConflictKind::Changed, "public.orders", "1", [Some("(1,v1)"), Some("(1,x)"), Some("(1,late)")]);
    assert_eq!(found.samples, [expected]);
}

#[tokio::test]
async fn a_parent_cannot_be_deleted_while_its_children_come_back() {
    let mut bench = Bench::with(FAMILY).await;
    let kept = bench.changed_by(&["DELETE FROM c"]).await;
    let other = bench.beside().await;
    other.write(&["BEGIN", "DELETE FROM p WHERE id = 2"]).await;
    let commit = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        other.write(&["COMMIT"]).await;
    };
    let how = How::default();
    let (done, ()) = tokio::join!(bench.revert(&kept, &how), commit);
    done.expect_err("its parent is gone by then");
    assert_eq!(bench.texts("SELECT id FROM c").await, Vec::<String>::new());
}

#[tokio::test]
async fn rows_without_a_key_are_told_apart_by_their_number_only() {
    let mut bench =
        Bench::with(&["CREATE TABLE t (a int, b text)", "INSERT INTO t VALUES (1, 'x'), (1, 'x'), (1, 'x'), (2, 'y')"])
            .await;
    let before = bench.snapshot().await;
    let kept = bench.changed_by(&["UPDATE t SET b = 'z' WHERE a = 1"]).await;
    bench.write(&["INSERT INTO t VALUES (1, 'z'), (1, 'x')"]).await;
    bench.revert(&kept, &How::default()).await.unwrap();
    bench
        .write(&["DELETE FROM t WHERE b = 'z'", "DELETE FROM t WHERE ctid = (SELECT min(ctid) FROM t WHERE b = 'x')"])
        .await;
    assert_eq!(bench.snapshot().await, before);
    let kept = bench.changed_by(&["UPDATE t SET b = 'z' WHERE a = 1"]).await;
    bench.write(&["DELETE FROM t WHERE ctid = (SELECT min(ctid) FROM t WHERE b = 'z')"]).await;
    let found = conflicts(&mut bench, &kept).await;
    assert_eq!((found.counts[0].kind, found.counts[0].rows), (ConflictKind::Gone, 1));
    let theirs = bench.snapshot().await;
    bench.revert(&kept, &How { keep_conflicts: true, ..How::default() }).await.unwrap();
    assert_eq!(bench.snapshot().await, theirs, "which of them it was cannot be told, so that all stay");
}

#[tokio::test]
async fn another_row_that_took_a_unique_value_is_named() {
    let mut bench =
        Bench::with(&["CREATE TABLE t (id int PRIMARY KEY, mail text UNIQUE)", "INSERT INTO t VALUES (1, 'a')"]).await;
    let kept = bench.changed_by(&["DELETE FROM t"]).await;
    bench.write(&["INSERT INTO t VALUES (2, 'a')"]).await;
    let error = bench.revert(&kept, &How::default()).await.expect_err("the value is taken");
    assert!(error.to_string().contains("Key (mail)=(a) already exists"), "{error}");
}

#[tokio::test]
async fn replica_mode_does_not_let_a_deferrable_constraint_break() {
    let mut bench = Bench::with(&[
        "CREATE TABLE t (id int PRIMARY KEY, pos int, UNIQUE (pos) DEFERRABLE)",
        "INSERT INTO t VALUES (1, 1)",
    ])
    .await;
    let kept = bench.changed_by(&["UPDATE t SET pos = 7"]).await;
    bench.write(&["INSERT INTO t VALUES (2, 1)"]).await;
    let error = bench.revert(&kept, &How::default()).await.expect_err("the value is taken");
    assert!(error.to_string().contains("t_pos_key"), "{error}");
}

#[tokio::test]
async fn changes_of_several_transactions_come_back_as_one_unless_others_came_between() {
    let mut bench = Bench::with(ORDERS).await;
    let before = bench.snapshot().await;
    let join = |kept: &[&Kept]| {
        let mut all = kept[0].clone();
        for more in &kept[1..] {
            all.images.extend(more.images.clone());
        }
        all
    };
    let first = bench.changed_by(&["UPDATE orders SET v = 'x' WHERE id = 1"]).await;
    let second = bench.changed_by(&["UPDATE orders SET v = 'y' WHERE id = 1"]).await;
    bench.revert(&join(&[&first, &second]), &How::default()).await.unwrap();
    assert_eq!(bench.snapshot().await, before);
    let first = bench.changed_by(&["UPDATE orders SET v = 'x' WHERE id = 1"]).await;
    bench.write(&["UPDATE orders SET v = 'theirs' WHERE id = 1"]).await;
    let second = bench.changed_by(&["UPDATE orders SET v = 'y' WHERE id = 1"]).await;
    let error = bench.revert(&join(&[&first, &second]), &How::default()).await.expect_err("theirs would be lost");
    assert_eq!(error.to_string(), "rows of public.orders were changed by others between these changes");
}

#[tokio::test]
async fn a_table_has_to_be_what_it_was_but_may_have_another_name() {
    let mut bench = Bench::with(ORDERS).await;
    let kept = bench.changed_by(&["DELETE FROM orders WHERE id = 1"]).await;
    let refused = |error: RevertError| error.to_string();
    bench.write(&["ALTER TABLE orders ADD COLUMN more int"]).await;
    let error = refused(bench.revert(&kept, &How::default()).await.unwrap_err());
    assert_eq!(error, "the columns of public.orders are not what they were: `more` is new");
    bench.write(&["ALTER TABLE orders DROP COLUMN more", "ALTER TABLE orders ALTER v TYPE varchar(9)"]).await;
    let error = refused(bench.revert(&kept, &How::default()).await.unwrap_err());
    assert_eq!(error, "the columns of public.orders are not what they were: `v` was text and is character varying(9)");
    bench.write(&["ALTER TABLE orders ALTER v TYPE text", "ALTER TABLE orders RENAME TO \"or ders\""]).await;
    let (back, _) = bench.revert(&kept, &How::default()).await.unwrap();
    assert_eq!(back.set.tables[0].table.name, "or ders");
    assert_eq!(bench.texts("SELECT count(*) FROM \"or ders\"").await, ["5"]);
    bench.write(&["DROP TABLE \"or ders\""]).await;
    let error = refused(bench.revert(&back, &How::default()).await.unwrap_err());
    assert_eq!(error, "the table public.or ders is gone");
}
