//! What a revert costs beside the statement that it takes back.

use crate::fixture::{Bench, Kept};
use belay_postgres::revert::{How, Strategy};
use std::time::{Duration, Instant};

const BIG: &str = "CREATE TABLE big (id int PRIMARY KEY, owner int, v text, n int, at timestamptz);
    INSERT INTO big SELECT g, g % 1000, md5(g::text) || repeat('x', 100), g, now() FROM generate_series(1, 1000000) g;
    CREATE INDEX ON big (owner); ANALYZE big";

async fn timed(bench: &Bench, sql: &str) -> Duration {
    let start = Instant::now();
    bench.write(&[sql]).await;
    start.elapsed()
}

/// The fastest of three, and that of a revert of it.
async fn ratio(bench: &mut Bench, sql: &str, strategy: Strategy) -> f64 {
    let how = How { strategy: Some(strategy), ..How::default() };
    let (mut plain, mut revert) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        let before = bench.snapshot().await;
        plain = plain.min(timed(bench, sql).await);
        let kept: Kept = crate::fixture::difference(&before, &bench.snapshot().await);
        bench.write(&["VACUUM ANALYZE big"]).await;
        let start = Instant::now();
        bench.revert(&kept, &how).await.unwrap();
        revert = revert.min(start.elapsed());
        assert!(bench.snapshot().await == before, "not as it was");
        bench.write(&["VACUUM ANALYZE big"]).await;
    }
    let ratio = revert.as_secs_f64() / plain.as_secs_f64();
    println!("{strategy:?} {sql}: {plain:?}, reverted in {revert:?}, x{ratio:.2}");
    ratio
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and says something on a machine of its own only"]
async fn a_revert_of_100_000_rows_takes_at_most_five_times_as_long() {
    let mut bench = Bench::with(&[BIG]).await;
    let update = "UPDATE big SET n = n + 1 WHERE id % 10 = 0";
    for strategy in [Strategy::Replica, Strategy::Fire] {
        let ratio_of_many = ratio(&mut bench, update, strategy).await;
        // Without optimization the gateway's own part counts for too much.
        assert!(ratio_of_many <= 5.0 || cfg!(debug_assertions), "{ratio_of_many:.1}");
        ratio(&mut bench, "UPDATE big SET n = n + 1 WHERE id = 77", strategy).await;
        ratio(&mut bench, "DELETE FROM big WHERE id % 10 = 1", strategy).await;
    }
}
