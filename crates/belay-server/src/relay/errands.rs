//! What a connection wants to hear of later: a cancel, a look at its back end, the time.

use super::{BackEnd, NAP};
use crate::desk::Clock;
use belay_engine::{BoxFuture, Input};
use belay_model::Timestamp;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// See the module. At most one of each kind is under way.
pub(super) struct Errands {
    back_end: BackEnd,
    cancel: Option<BoxFuture<'static, bool>>,
    look: Option<BoxFuture<'static, Option<Duration>>>,
    /// Goes off at that time or earlier. It is not set anew for each statement.
    alarm: Option<(Timestamp, Pin<Box<Sleep>>)>,
}

impl Errands {
    pub(super) fn new(back_end: BackEnd) -> Errands {
        Errands { back_end, cancel: None, look: None, alarm: None }
    }

    pub(super) fn cancel(&mut self) {
        self.cancel = Some(self.back_end.cancel());
    }

    pub(super) fn look(&mut self) {
        self.look = Some(self.back_end.lock_wait());
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
