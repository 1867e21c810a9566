//! What a transaction changed, taken while others write the same rows, held against what row triggers saw.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step fails the test")]

#[path = "capture/bed.rs"]
#[allow(dead_code, reason = "shared with the other tests of the capture")]
mod bed;

use bed::{Bed, Content, Kept, between, counts, rows};
use belay_postgres::capture::Hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SETUP: &str = "CREATE TABLE t(id int PRIMARY KEY, n int, v text);
    INSERT INTO t SELECT g, 0, 'v' FROM generate_series(1, 400) g;
    CREATE TABLE c(id serial PRIMARY KEY, tid int NOT NULL REFERENCES t ON DELETE CASCADE);
    INSERT INTO c(tid) SELECT g % 400 + 1 FROM generate_series(1, 800) g";

#[tokio::test]
async fn rows_that_others_lock_share_and_change_are_not_taken_for_the_transactions_own() {
    let mut bed = Bed::with(SETUP).await;
    let (locker, sharer, changer) = (bed.client().await, bed.client().await, bed.client().await);
    // Marks that nobody holds any more, and marks that more than one transaction holds.
    changer.batch_execute("BEGIN; UPDATE t SET v = 'never'; ROLLBACK; SELECT * FROM t FOR UPDATE").await.unwrap();
    locker.batch_execute("BEGIN; SELECT * FROM t WHERE id BETWEEN 1 AND 50 FOR KEY SHARE").await.unwrap();
    sharer.batch_execute("BEGIN; SELECT * FROM t WHERE id BETWEEN 1 AND 60 FOR KEY SHARE").await.unwrap();
    changer.batch_execute("BEGIN; UPDATE t SET v = 'other' WHERE id > 300").await.unwrap();
    let (set, kept) = bed.run(&["UPDATE t SET n = 1 WHERE id BETWEEN 10 AND 20"]).await.unwrap();
    assert_eq!((counts(&set, "t"), kept.images.len()), ((0, 11, 0), 22));
    assert!(kept.images.iter().all(|(.., image)| image.ends_with(",v)")), "{:?}", kept.images);
}

#[tokio::test]
async fn a_transaction_that_sees_the_past_is_not_given_what_others_did_since() {
    for isolation in ["REPEATABLE READ", "SERIALIZABLE"] {
        let mut bed = Bed::with(SETUP).await;
        let (other, locker) = (bed.client().await, bed.client().await);
        let transaction = bed.begin(&format!("BEGIN ISOLATION LEVEL {isolation}; SELECT 1 FROM t")).await;
        bed.writer.batch_execute("SELECT count(*) FROM t").await.unwrap();
        other.batch_execute("INSERT INTO t VALUES (1000, 1, 'new'); UPDATE t SET v = 'o' WHERE id = 7").await.unwrap();
        other.batch_execute("DELETE FROM t WHERE id = 8").await.unwrap();
        locker.batch_execute("BEGIN; SELECT * FROM t WHERE id IN (1000, 7) FOR UPDATE").await.unwrap();
        bed.writer.batch_execute("UPDATE t SET n = 5 WHERE id = 9").await.unwrap();
        let mut kept = Kept::default();
        let set = bed.end(transaction, &mut kept).await.unwrap();
        assert_eq!((counts(&set, "t"), kept.images.len()), ((0, 1, 0), 2), "{isolation}");
    }
}

/// Writes rows of its own choice until it is told to stop.
async fn disturb(bed: &Bed, seed: u32, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<()> {
    let client = bed.client().await;
    tokio::spawn(async move {
        let mut random = Random(seed);
        while !stop.load(Ordering::Relaxed) {
            let (a, b) = (random.below(400) + 1, random.below(400) + 1);
            let sql = match random.below(6) {
                0 => format!("BEGIN; SELECT * FROM t WHERE id IN ({a}, {b}) FOR KEY SHARE; COMMIT"),
                1 => format!("BEGIN; UPDATE t SET n = n + 1 WHERE id = {a}; ROLLBACK"),
                2 => format!("DELETE FROM t WHERE id = {a}"),
                3 => format!("INSERT INTO t VALUES ({a}, 0, 'other') ON CONFLICT DO NOTHING"),
                4 => format!("INSERT INTO c(tid) SELECT id FROM t WHERE id = {a}"),
                _ => format!("UPDATE t SET n = n + 1, v = repeat('o', {b}) WHERE id = {a}"),
            };
            // A deadlock or a failed key is part of it.
            if client.batch_execute(&sql).await.is_err() {
                let _ = client.batch_execute("ROLLBACK").await;
            }
        }
    })
}

/// Numbers that are the same in each run.
struct Random(u32);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % end
    }
}

fn statement(random: &mut Random) -> String {
    let (a, b) = (random.below(400) + 1, random.below(400) + 1);
    match random.below(8) {
        0 => format!("DELETE FROM t WHERE id = {a}"),
        1 => format!("INSERT INTO t VALUES ({a}, 7, 'mine') ON CONFLICT (id) DO UPDATE SET v = 'mine too'"),
        2 => format!("UPDATE t SET n = n + 1 WHERE id IN ({a}, {b})"),
        3 => format!("SAVEPOINT s; UPDATE t SET n = -1 WHERE id > {a}; ROLLBACK TO s"),
        4 => format!("SELECT * FROM t WHERE id > {a} ORDER BY id LIMIT 20 FOR UPDATE"),
        5 => format!("SAVEPOINT s; DELETE FROM c WHERE tid = {a}; RELEASE s"),
        6 => format!("INSERT INTO c(tid) SELECT id FROM t WHERE id IN ({a}, {b})"),
        _ => format!("UPDATE t SET v = repeat('m', {b}) WHERE id BETWEEN {a} AND {a} + 5"),
    }
}

/// What row triggers saw of the writer's work.
async fn seen_by_triggers(bed: &Bed) -> Content {
    let mut content = Content::new();
    for row in rows(&bed.writer, "SELECT tab, side, img FROM seen").await {
        let [Some(table), Some(side), Some(image)] = row.as_slice() else { panic!("{row:?}") };
        *content.entry(format!("public.{table}")).or_default().entry(image.clone()).or_default() +=
            if side == "new" { 1 } else { -1 };
    }
    between(Content::new(), content)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_transactions_beside_other_writers_are_taken_as_row_triggers_see_them() {
    let triggers = "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
          IF current_setting('application_name') = 'writer' THEN
            IF tg_op <> 'INSERT' THEN INSERT INTO seen VALUES (tg_table_name, 'old', old::text); END IF;
            IF tg_op <> 'DELETE' THEN INSERT INTO seen VALUES (tg_table_name, 'new', new::text); END IF;
          END IF; RETURN NULL; END$$;
        CREATE TRIGGER s AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION see();
        CREATE TRIGGER s AFTER INSERT OR UPDATE OR DELETE ON c FOR EACH ROW EXECUTE FUNCTION see()";
    let mut bed = Bed::with(SETUP).await;
    bed.client().await.batch_execute(triggers).await.unwrap();
    // Temporary rows are the session's own: no part of what is taken.
    let own = "SET application_name = 'writer'; CREATE TEMP TABLE seen(tab text, side text, img text)";
    bed.writer.batch_execute(own).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut others = Vec::new();
    for seed in 1..=3 {
        others.push(disturb(&bed, seed, Arc::clone(&stop)).await);
    }
    let mut random = Random(42);
    let (mut taken, mut images) = (0, 0);
    let until = Instant::now() + Duration::from_secs(8);
    while Instant::now() < until {
        bed.writer.batch_execute("TRUNCATE seen").await.unwrap();
        let mut transaction =
            bed.begin(if random.below(3) == 0 { "BEGIN ISOLATION LEVEL REPEATABLE READ" } else { "BEGIN" }).await;
        let mut failed = false;
        for _ in 0..=random.below(5) {
            let text = statement(&mut random);
            transaction.hint(&Hint { text: text.clone(), parameters: Vec::new() });
            failed = failed || bed.writer.batch_execute(&text).await.is_err();
        }
        if failed {
            bed.writer.batch_execute("ROLLBACK").await.unwrap();
            continue;
        }
        let mut kept = Kept::default();
        bed.end(transaction, &mut kept).await.unwrap();
        assert_eq!(kept.difference(), seen_by_triggers(&bed).await);
        taken += 1;
        images += kept.images.len();
    }
    stop.store(true, Ordering::Relaxed);
    for other in others {
        other.await.unwrap();
    }
    assert!(taken > 20 && images > 100, "{taken} transactions, {images} images");
}
