//! What a connection wants to hear of later: a cancel, a look at its back end, a settlement, the time.

use super::settling::Settling;
use super::{BackEnd, NAP};
use crate::desk::Clock;
use belay_engine::{Answer, BoxFuture, Input, Keeper, Settlement};
use belay_model::Timestamp;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// See the module. At most one of each kind is under way.
pub(super) struct Errands {
    back_end: BackEnd,
    cancel: Option<BoxFuture<'static, bool>>,
    look: Option<BoxFuture<'static, Option<Duration>>>,
    settling: Option<Settling>,
    /// Goes off at that time or earlier. It is not set anew for each statement.
    alarm: Option<(Timestamp, Pin<Box<Sleep>>)>,
}

impl Errands {
    pub(super) fn new(back_end: BackEnd) -> Errands {
        Errands { back_end, cancel: None, look: None, settling: None, alarm: None }
    }

    pub(super) fn cancel(&mut self) {
        self.cancel = Some(self.back_end.cancel());
    }

    pub(super) fn look(&mut self) {
        self.look = Some(self.back_end.lock_wait());
    }

    /// Begins a settlement.
    pub(super) fn settle(&mut self, settlement: Box<dyn Settlement>, keeper: Arc<dyn Keeper>) {
        self.settling = Some(Settling::begin(settlement, keeper));
    }

    /// A piece of what the settlement asked for.
    pub(super) fn answer(&mut self, answer: Answer) {
        if let Some(settling) = &mut self.settling {
            settling.answer(answer);
        }
    }

    /// Whether the settlement has yet to take what it was given.
    pub(super) fn is_full(&self) -> bool {
        self.settling.as_ref().is_some_and(Settling::is_full)
    }

    /// What has come of one of them, if anything.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        wake_at: Option<Timestamp>,
        clock: &dyn Clock,
    ) -> Option<Input> {
        if let Some(Poll::Ready(carried_out)) = self.cancel.as_mut().map(|cancel| cancel.as_mut().poll(cx)) {
            self.cancel = None;
            return Some(Input::Cancelled(carried_out));
        }
        if let Some(Poll::Ready(waiting)) = self.look.as_mut().map(|look| look.as_mut().poll(cx)) {
            self.look = None;
            return Some(Input::Waiting(waiting));
        }
        if let Some(Poll::Ready(input)) = self.settling.as_mut().map(|settling| settling.poll(cx)) {
            if matches!(input, Input::Settled(_)) {
                self.settling = None;
            }
            return Some(input);
        }
        self.poll_alarm(cx, wake_at?, clock).then_some(Input::Time)
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>, wake_at: Timestamp, clock: &dyn Clock) -> bool {
        loop {
            match &mut self.alarm {
                Some((at, sleep)) if *at <= wake_at => {
                    if sleep.as_mut().poll(cx).is_pending() {
                        return false;
                    }
                    self.alarm = None;
                    if wake_at <= clock.now() {
                        return true;
                    }
                }
                _ => {
                    // A clock that is set forward is noticed.
                    let nap = clock.now().until(wake_at).min(NAP);
                    self.alarm = Some((wake_at, Box::pin(sleep_until(Instant::now() + nap))));
                }
            }
        }
    }
}
