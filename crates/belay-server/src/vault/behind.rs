//! What is written behind an answer: that a change was committed.
//!
//! A crash before that loses nothing, since the target is asked then how the change ended. Whoever wants to see changes
//! waits for what is under way.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// So many at a time.
const MOST: u32 = 64;
/// How long somebody waits who wants to see what is written.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct Behind(Arc<Semaphore>);

impl Behind {
    pub(super) fn new() -> Behind {
        Behind(Arc::new(Semaphore::new(MOST as usize)))
    }

    /// Does it on a task of its own, as soon as there is room.
    pub(super) async fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        // It is never closed.
        let place = Arc::clone(&self.0).acquire_owned().await.ok();
        tokio::spawn(async move {
            work.await;
            drop(place);
        });
    }

    /// Waits for what has begun, and not for what begins meanwhile: who came first has the next place.
    pub(super) async fn settled(&self) {
        if timeout(PATIENCE, self.0.acquire_many(MOST)).await.is_err() {
            tracing::warn!("it takes long to write how changes ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn who_looks_waits_for_what_has_begun_before() {
        let behind = Behind::new();
        let (end, ended) = oneshot::channel::<()>();
        behind.begin(async { drop(ended.await) }).await;
        assert!(timeout(Duration::from_millis(50), behind.settled()).await.is_err(), "it did not wait");
        end.send(()).unwrap();
        timeout(PATIENCE, behind.settled()).await.expect("it goes on once that is over");
    }
}
