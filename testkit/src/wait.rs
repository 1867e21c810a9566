//! Waiting for something to become true, with a bound.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `condition` holds and returns how long that took. Panics after `deadline`.
pub async fn wait_until<F: Future<Output = bool>>(deadline: Duration, mut condition: impl FnMut() -> F) -> Duration {
    let start = Instant::now();
    loop {
        if condition().await {
            return start.elapsed();
        }
        assert!(start.elapsed() < deadline, "still not so after {deadline:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// The same for callers without a runtime; false after `deadline`.
pub fn until(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() >= deadline {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
    true
}
