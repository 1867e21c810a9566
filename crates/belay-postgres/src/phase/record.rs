//! Events of one connection.

use super::pending::Running;
use belay_engine::{Output, SessionContext};
use belay_model::{
    BindValue, Code, ConnectionId, Effect, Event, EventKind, GrantId, Named, Outcome, SessionId, Statement, Timestamp,
    TransactionStatus,
};
use std::sync::Arc;

/// Makes events that name their connection, and numbers the statements.
pub(super) struct Recorder {
    who: Arc<str>,
    target: Arc<str>,
    grant: GrantId,
    session: SessionId,
    connection: ConnectionId,
    keeps_values: bool,
    last: u64,
}

impl Recorder {
    pub(super) fn new(context: &SessionContext) -> Recorder {
        Recorder {
            who: Arc::from(context.grant.principal.as_str()),
            target: Arc::from(context.grant.target.as_str()),
            grant: context.grant.id,
            session: context.session,
            connection: context.connection,
            keeps_values: context.grant.record_values,
            last: 0,
        }
    }

    /// The grant.
    pub(super) fn grant(&self) -> GrantId {
        self.grant
    }

    /// The number of the last statement.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Whether bind values are kept.
    pub(super) fn keeps_values(&self) -> bool {
        self.keeps_values
    }

    /// The intent to run a permitted statement, and its number.
    pub(super) fn permitted(
        &mut self,
        text: Arc<str>,
        values: Option<Vec<BindValue>>,
        statements: &Arc<[Statement]>,
        now: Timestamp,
    ) -> (u64, Output) {
        let event = self.statement(text, values, statements, None, now);
        // Reads and session statements change nothing, so they need not wait for the disk.
        (self.last, Output::Record { event: Box::new(event), durable: worst(statements) > Effect::Read })
    }

    /// A refusal.
    pub(super) fn denied(
        &mut self,
        text: Arc<str>,
        values: Option<Vec<BindValue>>,
        statements: &Arc<[Statement]>,
        code: Code,
        now: Timestamp,
    ) -> Output {
        let event = self.statement(text, values, statements, Some(code), now);
        Output::Record { event: Box::new(event), durable: false }
    }

    /// How a permitted statement ended.
    pub(super) fn outcome(&self, running: Running, transaction: TransactionStatus, now: Timestamp) -> Output {
        let micros = u64::try_from(now.0.saturating_sub(running.since.0)).unwrap_or(0);
        let Running { rows, sqlstate, stopped, .. } = running;
        let bytes = (running.bytes > 0).then_some(running.bytes);
        let outcome = Outcome { rows, bytes, sqlstate, stopped, skipped: false, micros };
        self.ended(running.statement, outcome, transaction, now)
    }

    /// A permitted statement that did not run: one before it in the batch failed, or it was bound and not executed.
    pub(super) fn skipped(&self, statement: u64, transaction: TransactionStatus, now: Timestamp) -> Output {
        let outcome = Outcome { rows: None, bytes: None, sqlstate: None, stopped: None, skipped: true, micros: 0 };
        self.ended(statement, outcome, transaction, now)
    }

    fn ended(&self, statement: u64, outcome: Outcome, transaction: TransactionStatus, now: Timestamp) -> Output {
        let kind = EventKind::Outcome { statement, outcome, transaction };
        Output::Record { event: Box::new(self.event(kind, now)), durable: false }
    }

    fn statement(
        &mut self,
        text: Arc<str>,
        values: Option<Vec<BindValue>>,
        statements: &Arc<[Statement]>,
        denied: Option<Code>,
        now: Timestamp,
    ) -> Event {
        self.last += 1;
        let effect = worst(statements);
        let because = denied.and_then(|_| statements.iter().find_map(|statement| statement.because.clone()));
        let relations = Named::by(statements);
        self.event(EventKind::Statement { statement: self.last, text, values, effect, denied, because, relations }, now)
    }

    fn event(&self, kind: EventKind, at: Timestamp) -> Event {
        Event {
            at,
            who: Some(Arc::clone(&self.who)),
            target: Some(Arc::clone(&self.target)),
            grant: Some(self.grant),
            session: Some(self.session),
            connection: Some(self.connection),
            kind,
        }
    }
}

/// The worst effect of a message; an empty one touches nothing but the session.
fn worst(statements: &[Statement]) -> Effect {
    statements.iter().map(|statement| statement.effect).max().unwrap_or(Effect::Session)
}
