//! Counts the statements of one connection without looking a counter up for each.

use crate::metrics::STATEMENTS_TOTAL;
use belay_model::{Effect, Event, EventKind};
use metrics::Counter;

/// The counters this connection has used so far.
#[derive(Default)]
pub(crate) struct StatementCounts {
    used: Vec<(Effect, bool, Counter)>,
}

impl StatementCounts {
    /// Counts the event, if it is a statement.
    pub(crate) fn count(&mut self, event: &Event) {
        let EventKind::Statement { effect, denied, .. } = &event.kind else { return };
        let denied = denied.is_some();
        if let Some((_, _, counter)) = self.used.iter().find(|(e, d, _)| (*e, *d) == (*effect, denied)) {
            return counter.increment(1);
        }
        let target = event.target.as_deref().unwrap_or_default().to_owned();
        let decision = if denied { "deny" } else { "permit" };
        let counter =
            metrics::counter!(STATEMENTS_TOTAL, "target" => target, "effect" => effect.word(), "decision" => decision);
        counter.increment(1);
        self.used.push((*effect, denied, counter));
    }
}
