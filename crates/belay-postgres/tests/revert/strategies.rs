//! What the role may do.

use crate::fixture::{Bench, Kept, server};
use belay_postgres::revert::{How, Strategy, can_revert, strategy};

const STAMPED: &[&str] = &[
    "CREATE TABLE t (id int PRIMARY KEY, v text, n int DEFAULT 0)",
    "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.n := new.n + 1; RETURN new; END $$",
    "CREATE TRIGGER stamp BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stamp()",
    "INSERT INTO t VALUES (1, 'a')",
];

const ALL_ROWS: &str = "GRANT pg_read_all_data, pg_write_all_data TO other";

async fn found(bench: &mut Bench, kept: &Kept) -> (Strategy, Result<(), String>) {
    let found = strategy(&mut bench.control, &kept.set.tables).await.unwrap();
    let can = can_revert(&mut bench.control, found, &kept.set.tables).await;
    (found, can.map_err(|error| error.to_string()))
}

#[tokio::test]
async fn the_strongest_strategy_that_the_role_may_use_is_found_and_works() {
    let mut bench = Bench::with(STAMPED).await;
    let before = bench.snapshot().await;
    let kept = bench.changed_by(&["UPDATE t SET v = 'x'"]).await;
    assert_eq!(found(&mut bench, &kept).await, (Strategy::Replica, Ok(())), "a superuser");

    bench.log_in(ALL_ROWS).await;
    let why = "the trigger `stamp` on public.t would act when rows are put back".to_owned();
    assert_eq!(found(&mut bench, &kept).await, (Strategy::Fire, Err(why.clone())));
    assert_eq!(bench.revert(&kept, &How::default()).await.unwrap_err().to_string(), why);

    bench.log_in(&format!("{ALL_ROWS}; ALTER TABLE t OWNER TO other")).await;
    assert_eq!(found(&mut bench, &kept).await, (Strategy::Disable, Ok(())));
    bench.revert(&kept, &How::default()).await.unwrap();
    assert_eq!(bench.snapshot().await, before);
    assert_eq!(bench.texts("SELECT tgenabled FROM pg_trigger WHERE tgname = 'stamp'").await, ["O"]);

    if server().await.major() < 15 {
        return;
    }
    let kept = bench.changed_by(&["UPDATE t SET v = 'x'"]).await;
    bench.log_in(&format!("{ALL_ROWS}; GRANT SET ON PARAMETER session_replication_role TO other")).await;
    assert_eq!(found(&mut bench, &kept).await, (Strategy::Replica, Ok(())));
    bench.revert(&kept, &How::default()).await.unwrap();
    assert_eq!(bench.snapshot().await, before);
}

#[tokio::test]
async fn a_right_that_the_revert_needs_is_asked_for_before() {
    let mut bench = Bench::with(STAMPED).await;
    let before = bench.snapshot().await;
    let kept = bench.changed_by(&["INSERT INTO t VALUES (2, 'b')"]).await;
    let left = bench.snapshot().await;
    assert_ne!(before, left);
    for (rights, lacking) in [
        (
            "GRANT pg_read_all_data TO other",
            "Belay's own role may not DELETE public.t, and could not put its rows back",
        ),
        (
            "GRANT SELECT, INSERT, UPDATE ON t TO other",
            "Belay's own role may not DELETE public.t, and could not put its rows back",
        ),
        (
            "GRANT INSERT, UPDATE, DELETE ON t TO other",
            "Belay's own role may not SELECT public.t, and could not put its rows back",
        ),
        (
            "GRANT pg_read_all_data, pg_write_all_data TO other; \
             DO $$BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END$$",
            "Belay's own role may not make temporary tables, which rows are put back from",
        ),
    ] {
        bench.log_in(rights).await;
        assert_eq!(found(&mut bench, &kept).await.1.unwrap_err(), lacking);
        assert_eq!(bench.revert(&kept, &How::default()).await.unwrap_err().to_string(), lacking);
        assert_eq!(bench.snapshot().await, left);
    }
}

#[tokio::test]
async fn triggers_of_other_events_do_not_stand_in_the_way() {
    let mut bench = Bench::with(STAMPED).await;
    let kept = bench.changed_by(&["INSERT INTO t VALUES (2, 'b')"]).await;
    bench.log_in(ALL_ROWS).await;
    assert_eq!(found(&mut bench, &kept).await, (Strategy::Fire, Ok(())));
    bench.revert(&kept, &How::default()).await.unwrap();
    assert_eq!(bench.texts("SELECT id FROM t").await, ["1"]);
}

#[tokio::test]
async fn triggers_that_act_even_in_replica_mode_are_set_aside_and_rules_refused() {
    let mut bench = Bench::with(STAMPED).await;
    let kept = bench.changed_by(&["UPDATE t SET v = 'x'"]).await;
    bench.write(&["ALTER TABLE t ENABLE ALWAYS TRIGGER stamp"]).await;
    for strategy in [Strategy::Replica, Strategy::Disable] {
        let how = How { strategy: Some(strategy), ..How::default() };
        bench.dry_run(&kept, &how).await.unwrap();
        assert_eq!(bench.texts("SELECT tgenabled FROM pg_trigger WHERE tgname = 'stamp'").await, ["A"]);
    }
    bench.write(&["CREATE RULE also AS ON UPDATE TO t DO ALSO INSERT INTO t VALUES (9, 'rule')"]).await;
    bench.write(&["ALTER TABLE t ENABLE ALWAYS RULE also"]).await;
    let refused = bench.revert(&kept, &How::default()).await.unwrap_err();
    assert_eq!(refused.to_string(), "the rule `also` on public.t would act when rows are put back");
}

#[tokio::test]
async fn rows_older_than_constraints_that_were_never_validated_come_back() {
    let mut bench = Bench::with(&[
        "CREATE TABLE p (id int PRIMARY KEY)",
        "CREATE TABLE t (id int PRIMARY KEY, n int, p int)",
        "INSERT INTO t VALUES (1, -5, 77), (2, 5, NULL)",
        "ALTER TABLE t ADD CONSTRAINT positive CHECK (n > 0) NOT VALID, ADD FOREIGN KEY (p) REFERENCES p NOT VALID",
        "COMMENT ON CONSTRAINT positive ON t IS 'it''s meant'",
    ])
    .await;
    let constraints =
        "SELECT conname || pg_get_constraintdef(oid) || coalesce(obj_description(oid, 'pg_constraint'), '')
        FROM pg_constraint WHERE conrelid = 't'::regclass ORDER BY 1";
    let before = bench.texts(constraints).await;
    let kept = bench.changed_by(&["UPDATE t SET n = 1, p = NULL WHERE id = 1", "DELETE FROM t WHERE id = 2"]).await;
    bench.revert(&kept, &How::default()).await.unwrap();
    assert_eq!(bench.texts("SELECT t::text FROM t ORDER BY id").await, ["(1,-5,77)", "(2,5,)"]);
    assert_eq!(bench.texts(constraints).await, before);
}

#[tokio::test]
async fn where_belay_owns_no_table_a_constraint_that_was_never_validated_refuses_the_write() {
    let mut bench = Bench::with(&[
        "CREATE TABLE t (id int PRIMARY KEY, n int)",
        "INSERT INTO t VALUES (1, -5)",
        "ALTER TABLE t ADD CONSTRAINT positive CHECK (n > 0) NOT VALID",
    ])
    .await;
    let kept = bench.changed_by(&["UPDATE t SET n = 1"]).await;
    bench.log_in(ALL_ROWS).await;
    let refused = found(&mut bench, &kept).await.1.unwrap_err();
    let expected = "the constraint `positive` on public.t was never validated, and rows from before may not keep it";
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn rows_that_the_role_does_not_see_refuse_the_revert() {
    let mut bench = Bench::with(STAMPED).await;
    let kept = bench.changed_by(&["INSERT INTO t VALUES (2, 'b')"]).await;
    bench.write(&["ALTER TABLE t ENABLE ROW LEVEL SECURITY", "CREATE POLICY p ON t USING (id = 1)"]).await;
    bench.log_in(ALL_ROWS).await;
    let refused = bench.revert(&kept, &How::default()).await.unwrap_err();
    assert_eq!(refused.to_string(), "row-level security hides rows of public.t from Belay's role");
}

#[tokio::test]
async fn an_event_trigger_that_writes_is_noticed() {
    let mut bench = Bench::with(&[
        "CREATE TABLE t (id int PRIMARY KEY)",
        "CREATE TABLE seen (what text)",
        "CREATE FUNCTION look() RETURNS event_trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO public.seen VALUES (tg_tag); END $$",
    ])
    .await;
    let kept = bench.changed_by(&["INSERT INTO t VALUES (1)"]).await;
    bench.write(&["CREATE EVENT TRIGGER look ON ddl_command_end EXECUTE FUNCTION look()"]).await;
    bench.dry_run(&kept, &How::default()).await.unwrap();
    let how = How { strategy: Some(Strategy::Fire), ..How::default() };
    let refused = bench.dry_run(&kept, &how).await.unwrap_err();
    assert_eq!(refused.to_string(), "putting the rows back would also write to public.seen");
}

#[tokio::test]
async fn a_cascade_to_rows_of_others_is_never_let_through() {
    let mut bench = Bench::with(&[
        "CREATE TABLE p (id int PRIMARY KEY)",
        "CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE)",
    ])
    .await;
    let kept = bench.changed_by(&["INSERT INTO p VALUES (1)"]).await;
    bench.write(&["INSERT INTO c VALUES (1, 1)"]).await;
    for strategy in [Strategy::Replica, Strategy::Disable, Strategy::Fire] {
        let how = How { strategy: Some(strategy), ..How::default() };
        bench.revert(&kept, &how).await.expect_err("c refers to it");
        assert_eq!(bench.texts("SELECT id FROM c").await, ["1"]);
    }
}
