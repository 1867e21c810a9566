//! The relay: the one loop in which bytes, time, policy and ledger meet.
//!
//! Both directions move independently, and each side is read only when what came before it has been written on. So a
//! slow reader holds back its own target and nothing else, and no buffer grows.

mod back_end;
mod errands;
mod settling;
mod side;

pub(crate) use back_end::BackEnd;

use crate::counts::StatementCounts;
use crate::desk::Clock;
use crate::ledger::Ledger;
use crate::sessions::{LiveSessions, Rate};
use crate::vault::Vault;
use belay_engine::{BoxFuture, Connection, Input, Joined, Life, Output, SessionContext};
use belay_model::{Code, Denial, EndReason, Event, EventKind, Grant, Span, Statement, Timestamp};
use belay_policy::{Decision, decide};
use errands::Errands;
use side::Side;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

/// How much more is read of a client that broke the protocol.
const DRAIN: usize = 1024 * 1024;
/// How long a deadline sleeps at most before the clock is read again, so that a clock that is set forward is noticed.
const NAP: Duration = Duration::from_secs(30);
/// Rounds seconds for people.
const HALF_A_SECOND: Duration = Duration::from_millis(500);

/// What the relay needs of the process.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ledger: Ledger,
    /// How long before the end the client is warned.
    pub(crate) warn_before: Arc<[Span]>,
    pub(crate) sessions: Arc<LiveSessions>,
    pub(crate) vault: Arc<Vault>,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Why.
    pub(crate) reason: EndReason,
    /// Whether the target had a transaction open.
    pub(crate) in_transaction: bool,
    /// Whether a client that reconnects by itself could go on with half a script: the connection was cut, by
    /// whomever, without the client having let go of it.
    pub(crate) cut: bool,
    /// Whether the target was still working, so that its back end must be stopped.
    pub(crate) busy: bool,
}

/// One connection under way.
pub(crate) struct Relay {
    client: Side,
    upstream: Side,
    connection: Box<dyn Connection>,
    context: SessionContext,
    doors: Doors,
    counts: StatementCounts,
    life: Pin<Box<dyn Future<Output = Life> + Send>>,
    deadline: Pin<Box<Sleep>>,
    /// When the client is to be warned, the next time last.
    warnings: Vec<Timestamp>,
    /// A record that what follows has to wait for.
    waiting: Option<BoxFuture<'static, bool>>,
    errands: Errands,
    /// How many statements the grant allows in a minute, and what they are counted with.
    rate: Option<(u32, Arc<Rate>)>,
    over: Option<Ended>,
}

impl Relay {
    pub(crate) fn new(joined: Joined, doors: Doors, back_end: BackEnd) -> Relay {
        let Joined { client, upstream, connection, mut context, .. } = joined;
        let life = *context.life.borrow_and_update();
        let now = doors.clock.now();
        let warnings = warnings(life, &doors.warn_before, now);
        let budgets = &context.grant.bounds.budgets;
        let rate = budgets.statements_per_minute.map(|most| (most, doors.sessions.rate(context.grant.id)));
        Relay {
            client: Side::new(client),
            upstream: Side::new(upstream),
            connection,
            life: Box::pin(changed(context.life.clone())),
            deadline: Box::pin(sleep_until(wake_at(life, warnings.last(), now))),
            warnings,
            context,
            doors,
            counts: StatementCounts::default(),
            waiting: None,
            errands: Errands::new(back_end),
            rate,
            over: None,
        }
    }

    /// Relays until the connection ends. Both streams stay open, for [`Relay::close`].
    pub(crate) async fn run(&mut self) -> Ended {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Says the last word and closes both sides. The target's side goes first, so that nothing stays idle there.
    pub(crate) async fn close(self) {
        let reason = self.over.map(|over| over.reason);
        // What waits for the target is sent only if the client itself said goodbye: after the end of a grant, nothing is.
        self.upstream.close(reason == Some(EndReason::Closed), 0).await;
        // The kernel answers unread bytes with a reset, which takes the last word away from the client.
        self.client.close(true, if reason == Some(EndReason::Protocol) { DRAIN } else { 0 }).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        self.poll_life(cx);
        if self.poll_waiting(cx) && self.over.is_none() {
            // Before anything is read: a target that always has more to say would use up all that this task may do at a
            // time, and a cancel would never get to what it waits for.
            self.poll_errands(cx);
        }
        // A client that had nothing to say will wake this task when it has.
        let mut listen_to_client = true;
        loop {
            if !self.poll_waiting(cx) {
                return self.finished();
            }
            self.carry_out(cx);
            // Refusals answer themselves: a client that sends and never reads must not fill the queue with them.
            let held_back = self.is_held_back();
            if self.over.is_some() {
                return self.finished();
            }
            let client_free = self.poll_write(cx, Which::Client);
            let upstream_free = self.poll_write(cx, Which::Upstream);
            let mut progress = false;
            if client_free && upstream_free && listen_to_client && self.connection.wants_client() {
                listen_to_client = self.poll_read(cx, Which::Client);
                progress |= listen_to_client;
            }
            if client_free && self.over.is_none() && !self.errands.is_full() {
                progress |= self.poll_read(cx, Which::Upstream);
            }
            if !progress && self.over.is_none() {
                progress = self.poll_errands(cx);
                // What was held back goes on: nobody else wakes this task for it.
                progress |= held_back && !self.is_held_back();
                if !progress {
                    return Poll::Pending;
                }
            }
        }
    }

    /// Whether so much waits to be taken that nothing should be added.
    fn is_held_back(&self) -> bool {
        self.client.is_full() || self.upstream.is_full() || self.errands.is_full()
    }

    fn finished(&self) -> Poll<Ended> {
        self.over.map_or(Poll::Pending, Poll::Ready)
    }

    /// Hears of the end of the grant, or of its being moved.
    fn poll_life(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(life) = self.life.as_mut().poll(cx) {
            // What has been heard counts as heard for the next wait too.
            self.context.life.mark_unchanged();
            self.life = Box::pin(changed(self.context.life.clone()));
            match life {
                Life::Over(reason) => return self.end(reason),
                Life::Until(end) => {
                    Arc::make_mut(&mut self.context.grant).ends_at = end;
                    let now = self.doors.clock.now();
                    self.warnings = warnings(life, &self.doors.warn_before, now);
                    self.deadline.as_mut().reset(wake_at(life, self.warnings.last(), now));
                }
            }
        }
        while self.deadline.as_mut().poll(cx).is_ready() {
            let (life, now) = (*self.context.life.borrow(), self.doors.clock.now());
            match life {
                Life::Over(reason) => return self.end(reason),
                Life::Until(end) if end <= now => return self.end(EndReason::Expired),
                Life::Until(end) => {
                    while self.warnings.pop_if(|at| *at <= now).is_some() {
                        self.handle(Input::Expiring((now.until(end) + HALF_A_SECOND).as_secs()), now);
                    }
                    self.deadline.as_mut().reset(wake_at(life, self.warnings.last(), now));
                }
            }
        }
    }

    /// False while a record is awaited.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(waiting) = &mut self.waiting else { return true };
        match waiting.as_mut().poll(cx) {
            Poll::Pending => return self.over.is_some(),
            Poll::Ready(true) => {}
            Poll::Ready(false) => self.end(EndReason::LedgerDown),
        }
        self.waiting = None;
        true
    }

    /// Carries out what the connection wants, in order, until a record has to be waited for.
    fn carry_out(&mut self, cx: &mut Context<'_>) {
        while self.waiting.is_none() && self.over.is_none() && !self.is_held_back() {
            let Some(output) = self.connection.poll() else { return };
            match output {
                Output::ToClient(bytes) => self.client.push(bytes),
                Output::ToUpstream(bytes) => self.upstream.push(bytes.into_bytes()),
                Output::Decide(statements) => {
                    let now = self.doors.clock.now();
                    let decision = self.judge(&statements, now);
                    self.handle(Input::Decided(decision), now);
                }
                Output::Record { event, durable } => self.record(*event, durable, cx),
                Output::Close(reason) => self.finish(reason),
                Output::Cancel => self.errands.cancel(),
                Output::Look => self.errands.look(),
                Output::Settle(settlement) => self.errands.settle(settlement, self.doors.vault.keeper(&self.context)),
                Output::Answer(answer) => self.errands.answer(answer),
            }
        }
    }

    fn judge(&self, statements: &[Statement], now: Timestamp) -> Decision {
        if !self.doors.ledger.is_up() {
            return Decision::Deny(unrecorded());
        }
        let runs = self.connection.about_to_run();
        if let Some((most, rate)) = &self.rate
            && runs > 0
            && !statements.iter().all(ends_transaction)
            && let Err(wait) = rate.take(*most, runs, now)
        {
            return Decision::Deny(too_often(&self.context.grant, *most, wait));
        }
        decide(&self.context.grant, statements, now)
    }

    /// Carries on with what is asked of the back end. Whether the connection has heard anything.
    fn poll_errands(&mut self, cx: &mut Context<'_>) -> bool {
        let wake_at = self.connection.wake_at();
        let Some(input) = self.errands.poll(cx, wake_at, &*self.doors.clock) else { return false };
        let now = self.doors.clock.now();
        self.handle(input, now);
        true
    }

    fn record(&mut self, event: Event, durable: bool, cx: &mut Context<'_>) {
        self.counts.count(&event);
        let event = if durable {
            event
        } else {
            match self.doors.ledger.try_record(event) {
                Ok(()) => return,
                Err(event) => event,
            }
        };
        // Nothing follows from these, so they wait in memory for a ledger that is down, and the session goes on.
        let event = if self.doors.ledger.is_up() || !is_over(&event) {
            event
        } else {
            match self.doors.ledger.record_late(event) {
                Ok(()) => return,
                Err(event) => event,
            }
        };
        let ledger = self.doors.ledger.clone();
        self.waiting = Some(Box::pin(async move {
            if durable {
                return ledger.record_durable(event).await.is_ok();
            }
            ledger.record(event).await.is_ok()
        }));
        self.poll_waiting(cx);
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, which: Which) -> bool {
        match self.side(which).poll_write(cx) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(_)) => {
                self.lost(which, true);
                false
            }
            Poll::Pending => false,
        }
    }

    /// Whether something was read.
    fn poll_read(&mut self, cx: &mut Context<'_>, which: Which) -> bool {
        match self.side(which).poll_read(cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(bytes)) if !bytes.is_empty() => {
                let now = self.doors.clock.now();
                self.handle(if which == Which::Client { Input::Client(bytes) } else { Input::Upstream(bytes) }, now);
                true
            }
            Poll::Ready(Ok(_)) => {
                self.lost(which, false);
                false
            }
            Poll::Ready(Err(_)) => {
                self.lost(which, true);
                false
            }
        }
    }

    fn side(&mut self, which: Which) -> &mut Side {
        match which {
            Which::Client => &mut self.client,
            Which::Upstream => &mut self.upstream,
        }
    }

    fn handle(&mut self, input: Input, now: Timestamp) {
        if let Err(error) = self.connection.handle(input, now) {
            tracing::warn!(connection = %self.context.connection, "protocol error: {error}");
            self.end(EndReason::Protocol);
        }
    }

    fn lost(&mut self, which: Which, broken: bool) {
        match which {
            Which::Upstream => self.end(EndReason::TargetLost),
            Which::Client => {
                self.end(EndReason::ClientLost);
                // A client that closes its end without a word has died and will not go on with its script; one whose
                // connection broke may still be there and reconnect.
                if let Some(over) = &mut self.over {
                    over.cut &= broken;
                }
            }
        }
    }

    /// Ends the connection from this side: asks it for its last word and stops.
    fn end(&mut self, reason: EndReason) {
        if self.over.is_some() {
            return;
        }
        self.note_over(reason);
        // What was read but not written yet must not follow the last word.
        let _ = self.connection.handle(Input::End(reason), self.doors.clock.now());
        while let Some(output) = self.connection.poll() {
            match output {
                Output::ToClient(bytes) => self.client.push(bytes),
                Output::Record { event, .. } => drop(self.doors.ledger.record_late(*event)),
                Output::ToUpstream(_)
                | Output::Decide(_)
                | Output::Cancel
                | Output::Look
                | Output::Settle(_)
                | Output::Answer(_)
                | Output::Close(_) => {}
            }
        }
    }

    /// The connection itself wants to close.
    fn finish(&mut self, reason: EndReason) {
        self.note_over(reason);
    }

    fn note_over(&mut self, reason: EndReason) {
        let in_transaction = self.connection.in_transaction();
        let cut = in_transaction && reason != EndReason::Closed;
        let busy = self.connection.is_busy() || in_transaction;
        self.over = Some(Ended { reason, in_transaction, cut, busy });
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Client,
    Upstream,
}

/// The next value of a session's life. A registry that is gone means that nobody guards the session any more.
async fn changed(mut life: watch::Receiver<Life>) -> Life {
    match life.changed().await {
        Ok(()) => *life.borrow_and_update(),
        Err(_) => Life::Over(EndReason::Shutdown),
    }
}

fn wake_at(life: Life, warning: Option<&Timestamp>, now: Timestamp) -> Instant {
    match life {
        Life::Until(end) => {
            let next = warning.map_or(end, |at| end.min(*at));
            Instant::now() + now.until(next).min(NAP)
        }
        Life::Over(_) => Instant::now(),
    }
}

/// When a client is to be warned of the end, the next time last; what has passed is left out.
fn warnings(life: Life, before: &[Span], now: Timestamp) -> Vec<Timestamp> {
    let Life::Until(end) = life else { return Vec::new() };
    let at = |span: &Span| Timestamp(end.0.saturating_sub(i64::from(span.seconds()) * 1_000_000));
    let mut times: Vec<Timestamp> = before.iter().map(at).filter(|at| *at > now).collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    times
}

/// Whether the event says what has happened already: a refusal, or how a statement ended.
fn is_over(event: &Event) -> bool {
    matches!(event.kind, EventKind::Statement { denied: Some(_), .. } | EventKind::Outcome { .. })
}

/// Nobody is kept in a transaction for having sent too much.
fn ends_transaction(statement: &Statement) -> bool {
    matches!(statement.verb.as_str(), "COMMIT" | "ROLLBACK")
}

fn too_often(grant: &Grant, most: u32, wait: Span) -> Denial {
    Denial {
        code: Code::RateBudget,
        message: format!("refused: more than the {most} statements that {} allows in a minute", grant.id),
        detail: "All connections of the grant count. The statement was not sent to the database.".to_owned(),
        hint: format!("try again in {wait}"),
    }
}

fn unrecorded() -> Denial {
    Denial {
        code: Code::LedgerDown,
        message: "refused: the ledger cannot be written".to_owned(),
        detail: "What cannot be recorded is not run. The statement was not sent to the database.".to_owned(),
        hint: "belay doctor".to_owned(),
    }
}
