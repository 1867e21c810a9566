//! A connection that has logged in: messages of both sides in, outputs out, without IO.
//!
//! Client messages are framed, opened where they carry a statement, judged, and forwarded as the bytes they came in.
//! Bytes of the target are forwarded as they came; only headers are read, and the bodies of the few messages that
//! say how a statement ended.
//!
//! A refused statement is replaced by text that the target cannot parse. So the *target* fails the transaction or the
//! batch, exactly as it does for an error of its own, and its answer is replaced by Belay's. No transaction state is
//! modelled here: ReadyForQuery is trusted.
//!
//! Rows are opened only where they hold masked columns. What a statement returns is counted as its headers pass.

mod bound_setting;
mod budget;
mod client;
mod guard;
mod in_sql;
mod names;
mod passthrough;
mod paths;
mod pending;
mod record;
mod run_by_name;
mod scan;
mod server;
#[cfg(test)]
mod tests;
mod texts;
mod writing;

use crate::catalog::keep::CatalogCell;
use crate::classify::SearchPath;
use crate::mask::{MaskKey, MaskedColumns};
use crate::random::random;
use crate::wire::{Report, Severity, error_response, notice_response};
use belay_engine::{Connection, Housekeeping, Input, Output, ProtocolError, SessionContext, UpstreamBytes};
use belay_model::{Budgets, Code, EndReason, Mask, Timestamp, TransactionStatus};
use budget::{Cancel, Stop, Turn};
use bytes::{Bytes, BytesMut};
use client::Judged;
use guard::Masking;
use names::Names;
pub(crate) use passthrough::Passthrough;
use pending::Pending;
use record::Recorder;
use scan::{Meter, Scan};
use std::collections::VecDeque;
use std::sync::Arc;
use texts::Texts;
pub(crate) use writing::{Ways, Writing};

/// How many forwarded messages may wait for their answers before the client is left waiting.
const PENDING_LIMIT: usize = 4096;
/// How many bytes they may hold on to; one message may go over it.
const PENDING_BYTES: usize = 32 * 1024 * 1024;

/// A logged-in connection.
#[allow(clippy::struct_excessive_bools, reason = "each is one fact of its own; none is a phase")]
pub struct Established {
    texts: Texts,
    /// The grant's masks.
    masks: Vec<Mask>,
    /// A statement failed since no transaction was open.
    went_wrong: bool,
    recorder: Recorder,
    /// Whether the target must keep saying that this connection is read-only.
    read_only: bool,
    inbox: BytesMut,
    out: VecDeque<Output>,
    pending: VecDeque<Pending>,
    /// What `pending` holds on to.
    pending_bytes: usize,
    names: Names,
    /// What the last ReadyForQuery said.
    status: TransactionStatus,
    /// A message that waits for its verdict.
    judged: Option<Judged>,
    /// The next client message has to wait for answers.
    held: bool,
    batch: Batch,
    scan: Scan,
    masking: Masking,
    /// Masked rows that are still to be passed on.
    rewritten: BytesMut,
    budgets: Budgets,
    /// What the statement that runs has returned.
    meter: Meter,
    turn: Turn,
    /// A statement that went over a budget.
    stop: Option<Stop>,
    cancel: Cancel,
    /// The turn in which the back end is being looked at.
    looking: Option<u64>,
    /// When the input came.
    now: Timestamp,
    /// The beginning of a message of the target that has to be whole before it is passed on.
    partial: BytesMut,
    /// Records that follow the bytes they speak of.
    after_bytes: Vec<Output>,
    /// A notice that waits for the end of a message.
    warning: Option<Bytes>,
    over: bool,
}

/// What a session starts with in the target.
#[derive(Debug, Clone)]
pub struct Outset {
    /// The search path.
    pub path: SearchPath,
    /// The grant's role.
    pub role: String,
}

/// The batch of extended-protocol messages that the client is sending.
#[derive(Default)]
struct Batch {
    /// A message of it was refused: what follows is skipped up to the Sync.
    skipping: bool,
    /// Messages were forwarded and no ReadyForQuery has come since, so the target may be in a transaction of its own
    /// making that `status` does not show.
    open: bool,
    /// The target was asked for the answers it holds back, and nothing was taken from the client since.
    nudged: bool,
}

impl Established {
    /// The connection after the target's first ReadyForQuery, which said `status`, with the catalog of its database
    /// and what it starts with.
    pub fn new(
        catalog: Arc<CatalogCell>,
        start: &Outset,
        context: &SessionContext,
        status: TransactionStatus,
    ) -> Established {
        let budgets = context.grant.bounds.budgets;
        Established {
            texts: Texts::new(catalog, start.path.clone(), &start.role),
            masks: context.grant.masks.clone(),
            went_wrong: false,
            recorder: Recorder::new(context),
            read_only: true,
            inbox: BytesMut::new(),
            out: VecDeque::new(),
            pending: VecDeque::new(),
            pending_bytes: 0,
            names: Names::default(),
            status,
            judged: None,
            held: false,
            batch: Batch::default(),
            scan: Scan::default(),
            masking: Masking {
                on: !context.grant.masks.is_empty(),
                columns: MaskedColumns::default(),
                // Without random numbers nothing is hashed with a key that could be known.
                key: random().ok().map(MaskKey::new),
            },
            rewritten: BytesMut::new(),
            budgets,
            meter: Meter::new(&budgets, (0, 0)),
            turn: Turn::new(0, &budgets, (0, 0), Timestamp(0)),
            stop: None,
            cancel: Cancel::None,
            looking: None,
            now: Timestamp(0),
            partial: BytesMut::new(),
            after_bytes: Vec::new(),
            warning: None,
            over: false,
        }
    }

    /// The connection, with the masked columns as the target numbers them, and the key of the grant's hashes. Without
    /// them hashes are the connection's own, and what cursors show of a grant with masks is refused.
    #[must_use]
    pub fn with_masks(mut self, columns: MaskedColumns, key: MaskKey) -> Established {
        self.masking.key = Some(key);
        self.set_masked_columns(columns);
        self
    }

    /// The connection, with the key of the grant's hashes; where masked columns stand is read from the catalog.
    #[must_use]
    pub(crate) fn with_mask_key(mut self, key: MaskKey) -> Established {
        self.masking.key = Some(key);
        self
    }

    /// The catalog was read again.
    pub fn set_masked_columns(&mut self, columns: MaskedColumns) {
        self.masking.on |= !columns.is_empty();
        self.masking.columns = columns;
    }

    /// How many messages wait for their answers, those included that were handed out a moment ago.
    fn due(&self) -> usize {
        self.pending.len()
    }

    /// Whether the target has said that no transaction is open.
    fn is_outside_transaction(&self) -> bool {
        self.status == TransactionStatus::Idle
    }

    /// Whether the target has said that the open transaction has failed.
    fn has_failed(&self) -> bool {
        self.status == TransactionStatus::Failed
    }

    /// Whether what is being answered came in a batch.
    fn is_in_batch(&self) -> bool {
        !matches!(self.pending.front(), Some(Pending::Query(_)))
    }

    /// Puts a forwarded message behind those whose answers are due.
    fn expect(&mut self, due: Pending) {
        self.pending_bytes = self.pending_bytes.saturating_add(due.size());
        self.pending.push_back(due);
        if self.pending.len() == 1 {
            self.begin_turn();
        }
    }

    /// The message whose answer is complete.
    fn answered(&mut self) -> Option<Pending> {
        let due = self.pending.pop_front();
        self.pending_bytes = self.pending_bytes.saturating_sub(due.as_ref().map_or(0, Pending::size));
        self.begin_turn();
        due
    }

    /// Whether another message may be forwarded before what was forwarded is answered.
    fn has_room(&self) -> bool {
        self.pending.len() < PENDING_LIMIT && self.pending_bytes < PENDING_BYTES
    }

    fn tell_client(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.out.push_back(Output::ToClient(bytes));
        }
    }

    fn housekeeping(&mut self, why: Housekeeping, bytes: Bytes) {
        self.out.push_back(Output::ToUpstream(UpstreamBytes::housekeeping(why, bytes)));
    }

    fn close(&mut self, reason: EndReason) {
        self.over = true;
        self.out.push_back(Output::Close(reason));
    }

    /// Asks the target for the answers it holds back until a Sync that may never come, where the client has to wait
    /// for them.
    fn nudge(&mut self) {
        let unsynced = self.pending.back().is_some_and(|due| !due.ends_with_ready());
        if unsynced && !self.batch.nudged {
            self.batch.nudged = true;
            self.housekeeping(Housekeeping::Boundary, Bytes::from_static(b"H\0\0\0\x04"));
        }
    }

    /// Tells the client what waits to be told, if it is between messages.
    fn warn(&mut self) {
        if self.scan.is_between_messages()
            && let Some(warning) = self.warning.take()
        {
            self.tell_client(warning);
        }
    }

    /// Says a last word, if the client is between messages, and closes.
    fn end(&mut self, reason: EndReason) {
        self.end_saying(last_word(reason), reason);
    }

    fn end_saying(&mut self, report: Option<Report>, reason: EndReason) {
        if self.over {
            return;
        }
        if self.scan.is_between_messages()
            && let Some(report) = report
        {
            self.tell_client(error_response(&report));
        }
        self.close(reason);
    }
}

impl Connection for Established {
    fn handle(&mut self, input: Input, now: Timestamp) -> Result<(), ProtocolError> {
        if self.over {
            return Ok(());
        }
        self.now = now;
        match input {
            Input::Client(bytes) => {
                self.inbox.extend_from_slice(&bytes);
                self.handle_inbox()
            }
            Input::Upstream(bytes) => {
                self.handle_upstream(bytes, now)?;
                self.handle_inbox()
            }
            Input::Decided(decision) => {
                self.handle_decided(decision, now);
                self.handle_inbox()
            }
            Input::Expiring(seconds) => {
                self.warning = Some(expiring(seconds));
                self.warn();
                Ok(())
            }
            Input::Time => {
                self.handle_time();
                Ok(())
            }
            Input::Cancelled(carried_out) => {
                self.handle_cancelled(carried_out);
                self.handle_inbox()
            }
            Input::Waiting(waiting) => {
                self.handle_waiting(waiting);
                Ok(())
            }
            // `Writing` takes these.
            Input::Ask(_) | Input::Settled(_) => Err(ProtocolError("nothing is being settled here".to_owned())),
            Input::End(reason) => {
                self.end(reason);
                Ok(())
            }
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn wants_client(&self) -> bool {
        self.is_open_to_client()
    }

    fn in_transaction(&self) -> bool {
        self.status != TransactionStatus::Idle || self.pending.iter().any(Pending::may_open)
    }

    fn is_busy(&self) -> bool {
        !self.pending.is_empty()
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.next_alarm()
    }

    fn about_to_run(&self) -> u32 {
        self.judged.as_ref().map_or(0, Judged::runs)
    }
}

fn expiring(seconds: u64) -> Bytes {
    notice_response(&Report {
        severity: Severity::Notice,
        code: Code::Expiring,
        message: match seconds {
            0..120 => format!("the grant ends in {seconds} seconds; what runs then is cancelled"),
            _ => format!("the grant ends in {} minutes; what runs then is cancelled", seconds / 60),
        },
        detail: None,
        hint: Some(Code::Expiring.remedy().to_owned()),
    })
}

/// What a client is told when its connection ends, where there is anything to tell.
fn last_word(reason: EndReason) -> Option<Report> {
    let (code, message) = match reason {
        EndReason::Expired => (Code::Expired, "ended: the grant has expired"),
        EndReason::Revoked => (Code::Revoked, "ended: the grant was revoked"),
        EndReason::Narrowed => (Code::Revoked, "ended: the grant was narrowed; connect again"),
        EndReason::Ended => (Code::Ended, "ended: an administrator ended the session"),
        EndReason::TargetLost => (Code::Ended, "ended: the target closed the connection"),
        EndReason::Protocol => (Code::Malformed, "ended: malformed or refused protocol message"),
        EndReason::ReadOnlyLost => (Code::ReadOnlyLost, "ended: the read-only state of the connection was lost"),
        EndReason::LedgerDown => (Code::LedgerDown, "ended: the ledger cannot be written"),
        EndReason::Shutdown => (Code::NotReady, "ended: the gateway is shutting down"),
        EndReason::Bound => (Code::SlowReader, "ended: a bound was reached"),
        EndReason::Closed | EndReason::ClientLost | EndReason::Crashed => return None,
    };
    let (detail, hint) = match reason {
        EndReason::Narrowed => (
            "The grant holds less than before. The running statement was cancelled in the database and the transaction rolled back.",
            "Connect again. `belay grants` shows what is left.",
        ),
        _ => (code.why(), code.remedy()),
    };
    Some(Report {
        severity: Severity::Fatal,
        code,
        message: message.to_owned(),
        detail: Some(detail.to_owned()),
        hint: Some(hint.to_owned()),
    })
}
