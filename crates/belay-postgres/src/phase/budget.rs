//! Budgets: what a statement may return, how long it may take, how long it may wait. Reads no clock.
//!
//! A statement that goes over is cancelled in the target, and the client gets Belay's error in place of the target's.
//! Nothing is sent to the target until the cancel has been carried out there, so that it cannot hit what comes next.

use super::Established;
use super::pending::{Pending, Running};
use super::scan::Meter;
use super::server::told;
use crate::wire::{Report, Severity, error_response};
use belay_engine::{Housekeeping, Output};
use belay_model::{Budgets, Code, EndReason, GrantId, Span, Timestamp, TransactionStatus};
use bytes::Bytes;
use std::time::Duration;

/// How long the target may take to end a statement that was cancelled, before the connection is ended.
const SETTLING: Span = Span::from_seconds(10);
/// How long a target gets to give the answers it holds back until a Sync, before the statement counts as running.
const ANSWERING: Span = Span::from_seconds(1);
/// How soon a back end that waits for a lock is looked at again, at the least.
const GLIMPSE: Duration = Duration::from_millis(50);
/// The target's error for a statement that was cancelled.
const CANCELED: &str = "57014";

/// What the target is working on at the moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Tells turns apart.
    number: u64,
    /// When it has to be over.
    deadline: Option<Timestamp>,
    /// When the back end is to be looked at, for locks.
    look_at: Option<Timestamp>,
    /// The target was asked for the answers it holds back.
    asked: bool,
    /// What earlier Executes of the same portal returned.
    rows_before: u64,
    bytes_before: u64,
}

impl Turn {
    pub(super) fn new(number: u64, budgets: &Budgets, (rows, bytes): (u64, u64), now: Timestamp) -> Turn {
        Turn {
            number,
            rows_before: rows,
            bytes_before: bytes,
            deadline: budgets.statement_time.map(|span| now.plus(span)),
            look_at: budgets.lock_wait.map(|span| now.plus(span)),
            asked: false,
        }
    }
}

/// Which budget was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spent {
    Rows(u64),
    Bytes(u64),
    Time(Span),
    LockWait(Span),
}

impl Spent {
    fn code(self) -> Code {
        match self {
            Spent::Rows(_) => Code::RowBudget,
            Spent::Bytes(_) => Code::ByteBudget,
            Spent::Time(_) | Spent::LockWait(_) => Code::TimeBudget,
        }
    }

    /// Whether the client does not get the rest of the result.
    fn withholds(self) -> bool {
        matches!(self, Spent::Rows(_) | Spent::Bytes(_))
    }

    fn report(self, grant: GrantId, rows: u64) -> Report {
        let message = match self {
            Spent::Rows(most) => format!("stopped: more than the {most} rows that {grant} allows one statement"),
            Spent::Bytes(most) => format!("stopped: more than the {most} bytes that {grant} allows one statement"),
            Spent::Time(most) => format!("stopped: longer than the {most} that {grant} allows one statement"),
            Spent::LockWait(most) => format!("stopped: longer than the {most} that {grant} allows to wait for a lock"),
        };
        let sent = if rows == 1 { "1 row was".to_owned() } else { format!("{rows} rows were") };
        let detail = format!("{sent} sent before. The statement was cancelled in the database.");
        told(self.code(), &message, Some(detail), self.code().remedy())
    }
}

/// A cancel that was asked for. Until it has been carried out nothing is sent that it could hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Cancel {
    /// None is.
    #[default]
    None,
    /// One is under way.
    UnderWay,
    /// Another one is needed behind it.
    Again,
}

/// A statement that is being stopped.
#[derive(Debug)]
pub(super) struct Stop {
    spent: Spent,
    turn: u64,
    /// When the connection is ended if nothing has come of it.
    give_up: Timestamp,
    /// The client has had its error.
    told: bool,
    /// The statement came to its end before the cancel: the target knows of no error.
    late: bool,
}

impl Stop {
    /// Whether the client gets nothing of the result any more.
    pub(super) fn withholds(&self) -> bool {
        self.spent.withholds()
    }

    /// Whether the client has been told that the message failed, while the target goes on with what is left of it.
    pub(super) fn hides_the_rest(&self) -> bool {
        self.told && self.late
    }
}

impl Established {
    /// Another message, or another statement of it, is what the target works on from here.
    pub(super) fn begin_turn(&mut self) {
        let before = match self.pending.front() {
            Some(Pending::Execute(Running { portal: Some(portal), .. })) => portal.returned.get(),
            _ => (0, 0),
        };
        self.turn = Turn::new(self.turn.number.wrapping_add(1), &self.budgets, before, self.now);
        self.meter = Meter::new(&self.budgets, before);
        if let Some(stop) = &mut self.stop {
            stop.give_up = self.now.plus(SETTLING);
        }
    }

    /// The next statement of the same message is what the target works on. It shares the message's time: the target
    /// holds answers back until the end of the message, so nobody sees when a statement of it began.
    pub(super) fn begin_next_statement(&mut self) {
        let Turn { deadline, look_at, asked, .. } = self.turn;
        self.begin_turn();
        self.turn = Turn { deadline, look_at, asked, ..self.turn };
    }

    /// The current result is complete, one way or the other.
    pub(super) fn count_result(&mut self) {
        let Some(running) = self.pending.front_mut().and_then(Pending::running) else { return };
        running.bytes = running.bytes.saturating_add(self.meter.bytes.saturating_sub(self.turn.bytes_before));
        if let Some(portal) = &running.portal {
            portal.returned.set((self.meter.rows, self.meter.bytes));
        }
        if let Some(guard) = &mut running.guard {
            guard.next();
        }
    }

    /// When something has to be done about what runs.
    pub(super) fn next_alarm(&self) -> Option<Timestamp> {
        if self.over || self.pending.is_empty() {
            return None;
        }
        if let Some(stop) = &self.stop {
            return Some(stop.give_up);
        }
        let look_at = self.turn.look_at.filter(|_| self.looking.is_none());
        [self.turn.deadline, look_at].into_iter().flatten().min()
    }

    pub(super) fn handle_time(&mut self) {
        let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= self.now);
        if self.pending.is_empty() || !due(self.next_alarm()) {
            return;
        }
        if let Some(stop) = &self.stop {
            if stop.told || stop.spent.withholds() || stop.turn == self.turn.number {
                return self.give_up("the target did not end a statement that was cancelled");
            }
            // It came to its end in time, and the cancel has hit nothing.
            self.stop = None;
            return;
        }
        if due(self.turn.look_at) && self.looking.is_none() {
            self.looking = Some(self.turn.number);
            self.out.push_back(Output::Look);
        }
        let Some(limit) = self.budgets.statement_time.filter(|_| due(self.turn.deadline)) else { return };
        // What a batch without a Sync has answered already does not run any more.
        let unsynced = !self.pending.iter().any(Pending::ends_with_ready);
        if unsynced && !self.turn.asked {
            self.turn.asked = true;
            self.turn.deadline = Some(self.now.plus(ANSWERING));
            return self.nudge();
        }
        self.stop(Spent::Time(limit));
    }

    /// Hears how long the back end has been waiting for a lock.
    pub(super) fn handle_waiting(&mut self, waiting: Option<Duration>) {
        let looked_at = self.looking.take();
        let Some(limit) = self.budgets.lock_wait else { return };
        if looked_at != Some(self.turn.number) || self.stop.is_some() {
            return;
        }
        let most = Duration::from_secs(limit.seconds().into());
        match waiting {
            Some(waiting) if waiting >= most => self.stop(Spent::LockWait(limit)),
            waiting => {
                let pause = most.saturating_sub(waiting.unwrap_or_default()).max(GLIMPSE);
                let micros = i64::try_from(pause.as_micros()).unwrap_or(i64::MAX);
                self.turn.look_at = Some(Timestamp(self.now.0.saturating_add(micros)));
            }
        }
    }

    /// Hears that the target has carried out a cancel, or that it could not be reached for it.
    pub(super) fn handle_cancelled(&mut self, carried_out: bool) {
        let was = std::mem::take(&mut self.cancel);
        if self.stop.is_none() {
            return;
        }
        if !carried_out {
            return self.give_up("a statement over its budget could not be cancelled");
        }
        if was == Cancel::Again {
            self.ask_to_cancel();
        }
    }

    /// The result has reached a bound of the grant.
    pub(super) fn stop_returning(&mut self) {
        let spent = if self.meter.rows >= self.meter.most_rows {
            Spent::Rows(self.meter.most_rows)
        } else {
            Spent::Bytes(self.meter.most_bytes)
        };
        self.stop(spent);
    }

    fn stop(&mut self, spent: Spent) {
        if let Some(stop) = &mut self.stop {
            // It was too slow, and is being cancelled; it turns out to return too much, too.
            stop.spent = spent;
            return;
        }
        let (turn, give_up) = (self.turn.number, self.now.plus(SETTLING));
        self.stop = Some(Stop { spent, turn, give_up, told: false, late: false });
        match self.cancel {
            Cancel::None => self.ask_to_cancel(),
            // It may have reached the target before this statement.
            Cancel::UnderWay | Cancel::Again => self.cancel = Cancel::Again,
        }
    }

    fn ask_to_cancel(&mut self) {
        self.cancel = Cancel::UnderWay;
        self.out.push_back(Output::Cancel);
    }

    fn give_up(&mut self, why: &str) {
        let message = format!("ended: {why}");
        let detail = "The grant bounds what a statement may use up. Its back end is terminated in the database.";
        let report = told(Code::TimeBudget, &message, Some(detail.to_owned()), Code::TimeBudget.remedy());
        self.end_saying(Some(Report { severity: Severity::Fatal, ..report }), EndReason::Bound);
    }

    /// What the client gets for a message of the target that ends a statement, before it is worked on; `sqlstate` is
    /// that of an error. `None` where it gets the message itself.
    pub(super) fn stopped_answer(&mut self, sqlstate: Option<&str>) -> Option<Bytes> {
        let stop = self.stop.as_mut()?;
        if stop.told {
            return stop.late.then(Bytes::new);
        }
        match sqlstate {
            Some(CANCELED) => {}
            Some(_) | None if stop.spent.withholds() => stop.late = sqlstate.is_none(),
            // It failed by itself, or came to its end in time.
            Some(_) => {
                stop.told = true;
                return None;
            }
            None => return None,
        }
        stop.told = true;
        let (code, spent, late) = (stop.spent.code(), stop.spent, stop.late);
        // The client takes the batch for failed, so nothing of it runs any more.
        self.batch.skipping |= late && !self.pending.iter().any(Pending::ends_with_ready);
        let rows = self.meter.rows.saturating_sub(self.turn.rows_before);
        if let Some(running) = self.pending.front_mut().and_then(Pending::running) {
            running.stopped(code, rows);
        }
        Some(error_response(&spent.report(self.recorder.grant(), rows)))
    }

    /// The message, or the batch, with the statement that was stopped is answered. True where the target has to be told
    /// yet that its transaction has failed, so that its ReadyForQuery is not the last.
    pub(super) fn settle_stop(&mut self) -> bool {
        let Some(stop) = self.stop.take() else { return false };
        if self.cancel == Cancel::Again {
            self.cancel = Cancel::UnderWay;
        }
        // Where more was sent already, it follows in a transaction that goes on, and the client sees that it does.
        if !stop.late || self.status != TransactionStatus::Open || !self.pending.is_empty() {
            return false;
        }
        self.pending.push_back(Pending::Spoiling);
        let text = crate::wire::refusal_text(stop.spent.code());
        self.housekeeping(Housekeeping::Refusal, crate::wire::query(&text));
        self.begin_turn();
        true
    }
}
