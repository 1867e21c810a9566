//! A connection whose grant writes.
//!
//! It stands between [`Established`], which judges, and the target. Where the client opens no transaction for a write,
//! one is opened here; before a transaction ends it is *settled*: the engine's settlement takes its exact row changes
//! over this very connection, and the transaction is committed or rolled back by what comes of it. Until then neither
//! the client's COMMIT nor the target's word that all is done passes.
//!
//! Outside such transactions the target is read-only, so that what is taken for a read and is none fails there.

mod act;
mod block;
mod client;
mod dropped;
mod line;
mod messages;
mod settled;
mod settlement;
mod step;
mod target;
mod transcript;

use super::Established;
use crate::wire::{Report, Severity, own_query, ready_for_query};
use belay_engine::{Connection, Housekeeping, Input, Output, ProtocolError, UpstreamBytes};
use belay_model::{Denial, Statement, Timestamp, TransactionStatus};
use belay_policy::Decision;
use bytes::Bytes;
use messages::Messages;
use settlement::Open;
pub(crate) use settlement::Ways;
use std::collections::VecDeque;
use std::sync::Arc;
use transcript::Transcript;

/// Opens a transaction that may write.
const BEGIN: &str = "BEGIN READ WRITE";
/// Makes the client's own transaction one that may write.
const MAY_WRITE: &str = "SET TRANSACTION READ WRITE";
/// Asks how a transaction is isolated. It runs no query, so that this may still be set afterwards.
const ISOLATION: &str = "SHOW transaction_isolation";
/// How many of the client's messages wait for a settlement.
const QUEUE: usize = 4096;

/// See the module.
pub(crate) struct Writing {
    inner: Established,
    ways: Arc<Ways>,
    out: VecDeque<Output>,
    messages: Messages,
    /// The statements that wait for their verdict, and then for their message.
    judged: Option<Arc<[Statement]>>,
    permitted: Option<Arc<[Statement]>>,
    /// What is to be sent when nothing is being done.
    queue: VecDeque<Held>,
    /// What is left of a message that is sent in parts.
    parts: VecDeque<Held>,
    doing: Doing,
    transaction: Transaction,
    transcript: Transcript,
    /// The client has said that its transaction only reads.
    reads_only: bool,
    /// What was taken of the transaction already.
    open: Option<Box<Open>>,
    /// The client's batch has begun and has not come to its Sync.
    in_batch: bool,
    /// All of it so far only reads.
    only_reads: bool,
    /// The end of a statement's answer, kept back until its transaction is settled.
    complete: Option<Bytes>,
}

/// A message for the target.
struct Held {
    bytes: UpstreamBytes,
    statements: Option<Arc<[Statement]>>,
    /// What has to be done before it is done.
    prepared: bool,
    /// It is part of a message.
    part: bool,
}

/// The transaction that may write.
enum Transaction {
    /// There is none.
    None,
    /// Opened here for one message or batch of the client's.
    Own {
        baseline: Vec<Vec<Option<Bytes>>>,
        /// All of it has been sent: what follows comes after the settlement.
        sealed: bool,
    },
    /// The client's, before it has run anything: how it is isolated may still be set, and it may not write yet.
    Begun,
    /// The client's.
    Client { baseline: Vec<Vec<Option<Bytes>>> },
}

/// What is being done while the client waits.
enum Doing {
    Nothing,
    /// The answers that are due are waited for.
    Draining(Next),
    /// A Sync of our own has been sent: what the client's batch has read so far was a transaction of its own.
    Splitting,
    /// Commands of our own have been sent, so many of which are not answered.
    Opening {
        left: u8,
        rows: Vec<Vec<Option<Bytes>>>,
        /// Whose transaction it will be.
        own: bool,
    },
    /// What the settlement's questions have made an end of, the unnamed portal, is made again: so many answers are due.
    Binding(u8),
    /// A ROLLBACK of our own has been sent; afterwards the client hears this.
    RollingBack(Vec<Bytes>),
    Settling {
        asking: bool,
        what: Settlings,
    },
}

/// What comes after the answers that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// A transaction is opened.
    Open,
    /// The same in the middle of a batch that has only read.
    Split,
    /// The client's transaction may write from here on.
    Join,
    /// The client's COMMIT.
    Commit,
    /// What has to be done before a statement.
    Prepare,
}

/// What is being settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settlings {
    /// The end of a transaction that was opened here.
    Own,
    /// A COMMIT of the client's, which is at the head of the queue.
    Commit,
    /// What has to be done before the statement at the head of the queue.
    Prepare,
}

impl Writing {
    pub(crate) fn new(inner: Established, ways: Ways) -> Writing {
        Writing {
            inner,
            ways: Arc::new(ways),
            out: VecDeque::new(),
            messages: Messages::default(),
            judged: None,
            permitted: None,
            queue: VecDeque::new(),
            parts: VecDeque::new(),
            doing: Doing::Nothing,
            transaction: Transaction::None,
            transcript: Transcript::default(),
            reads_only: false,
            open: None,
            in_batch: false,
            only_reads: true,
            complete: None,
        }
    }

    fn is_open(&self) -> bool {
        !matches!(self.transaction, Transaction::None)
    }

    fn own(&mut self, bytes: Bytes) {
        self.out.push_back(Output::ToUpstream(UpstreamBytes::housekeeping(Housekeeping::Own, bytes)));
    }

    /// The same, ahead of the record of the statement that it is for: what changes nothing need not wait for the disk.
    fn own_ahead(&mut self, bytes: Bytes) {
        let recorded = |output: &&Output| matches!(output, Output::Record { durable: true, .. });
        let place = self.out.len() - self.out.iter().rev().take_while(recorded).count();
        self.out.insert(place, Output::ToUpstream(UpstreamBytes::housekeeping(Housekeeping::Own, bytes)));
    }

    /// Gives the judging side a message as if the target had sent it.
    fn feed(&mut self, bytes: Bytes, now: Timestamp) -> Result<(), ProtocolError> {
        self.inner.handle(Input::Upstream(bytes), now)?;
        self.pump(now)
    }
}

impl Connection for Writing {
    fn handle(&mut self, input: Input, now: Timestamp) -> Result<(), ProtocolError> {
        match input {
            Input::Upstream(bytes) => {
                self.messages.push(&bytes);
                while let Some(message) = self.messages.next()? {
                    self.handle_message(message, now)?;
                }
            }
            Input::Decided(decision) => {
                let judged = self.judged.take();
                self.permitted = if matches!(decision, Decision::Permit(_)) { judged } else { None };
                self.inner.handle(Input::Decided(decision), now)?;
            }
            Input::Ask(sql) => {
                if let Doing::Settling { asking, .. } = &mut self.doing {
                    *asking = true;
                    let sql = String::from_utf8_lossy(&sql).into_owned();
                    self.own(own_query(&sql));
                }
            }
            Input::Settled(settled) => self.handle_settled(settled, now)?,
            other => self.inner.handle(other, now)?,
        }
        self.pump(now)
    }

    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn wants_client(&self) -> bool {
        self.inner.wants_client() && matches!(self.doing, Doing::Nothing) && self.queue.len() < QUEUE
    }

    fn in_transaction(&self) -> bool {
        self.inner.in_transaction()
    }

    fn is_busy(&self) -> bool {
        self.inner.is_busy() || self.is_open() || !matches!(self.doing, Doing::Nothing)
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.inner.wake_at()
    }

    fn about_to_run(&self) -> u32 {
        self.inner.about_to_run()
    }
}

fn idle() -> Bytes {
    ready_for_query(TransactionStatus::Idle)
}

fn told(severity: Severity, denial: &Denial) -> Report {
    Report {
        severity,
        code: denial.code,
        message: denial.message.clone(),
        detail: Some(denial.detail.clone()),
        hint: Some(denial.hint.clone()),
    }
}
