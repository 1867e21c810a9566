//! What time does: requests and plans lapse, grants end, owed events are recorded.

use super::logins::REMEMBERED;
use super::{Desk, DeskError, Due};
use belay_model::{EndReason, EventKind, Grant, GrantId, RequestId, Span, Timestamp};
use belay_policy::{expire, lapse};
use std::sync::atomic::Ordering;

/// How long a removed target can still be reached, in microseconds.
const REMOVED_TARGETS_KEPT: i64 = 86_400 * 1_000_000;
/// How often verifiers and targets of long ago are looked for.
const TIDY_EVERY: Span = Span::from_seconds(3_600);

impl Desk {
    /// What has lapsed or ended by `now` and still counts as open.
    pub async fn due(&self, now: Timestamp) -> Result<Due, DeskError> {
        let mut reader = self.store.reader().await?;
        let requests = reader.look().requests_due(now).await?;
        let grants = reader.look().grants_due(now).await?;
        let plans = reader.look().plans_due(now).await?;
        Ok(Due { requests, grants, plans })
    }

    /// The next time at which something will be due.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, DeskError> {
        Ok(self.store.reader().await?.look().next_due().await?)
    }

    /// Lapses a request that is due; a request that is not, any more, is left alone.
    pub async fn lapse_request(&self, request: RequestId) -> Result<(), DeskError> {
        let mut act = self.act_alone().await?;
        let Some(found) = act.writing.look().request(request).await? else { return Ok(()) };
        let Ok(lapsed) = lapse(&found, act.now) else { return Ok(()) };
        act.event_on(&lapsed.target, EventKind::RequestLapsed { request });
        act.save_request(&lapsed).await?;
        self.finish_in_any_case(act).await
    }

    /// Ends a grant that is past its use-by or end. Works with the ledger down: the event is owed, and
    /// recorded as soon as it can be. `None` when it had ended already or is not due.
    pub async fn end_grant(&self, grant: GrantId) -> Result<Option<Grant>, DeskError> {
        let mut act = self.act_alone().await?;
        let Some(found) = act.writing.look().grant(grant).await? else { return Ok(None) };
        let Ok(over) = expire(&found.grant, act.now) else { return Ok(None) };
        act.end_grant(&over, EndReason::Expired).await?;
        self.finish_in_any_case(act).await?;
        Ok(Some(over))
    }

    /// Does all that is due by the clock, and pays the events owed to the ledger. Returns how many things ended.
    pub async fn pass_time(&self) -> Result<usize, DeskError> {
        let now = self.clock.now();
        let due = self.due(now).await?;
        // Grants first: somebody may be connected.
        for grant in &due.grants {
            self.end_grant(*grant).await?;
        }
        for request in &due.requests {
            self.lapse_request(*request).await?;
        }
        for plan in &due.plans {
            self.lapse_plan(*plan).await?;
        }
        self.pay_owed_events().await?;
        self.tidy(now).await?;
        Ok(due.grants.len() + due.requests.len() + due.plans.len())
    }

    /// An event may be recorded twice if the process dies between ledger and store; never is one lost.
    async fn pay_owed_events(&self) -> Result<(), DeskError> {
        let owed = self.store.reader().await?.look().owed_events().await?;
        for (number, event) in owed {
            if self.recorder.record_durable(event).await.is_err() {
                return Ok(());
            }
            let mut writing = self.store.write().await?;
            writing.forget_owed_event(number).await?;
            writing.commit().await?;
        }
        Ok(())
    }

    async fn tidy(&self, now: Timestamp) -> Result<(), DeskError> {
        let last = Timestamp(self.tidied_at.load(Ordering::Relaxed));
        if now < last.plus(TIDY_EVERY) {
            return Ok(());
        }
        let mut writing = self.store.write().await?;
        writing.forget_verifiers(Timestamp(now.0.saturating_sub(REMEMBERED))).await?;
        writing.forget_targets(Timestamp(now.0.saturating_sub(REMOVED_TARGETS_KEPT))).await?;
        writing.commit().await?;
        self.tidied_at.store(now.0, Ordering::Relaxed);
        Ok(())
    }
}
