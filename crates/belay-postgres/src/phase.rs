//! A connection that has logged in: messages of both sides in, outputs out, without IO.
//!
//! Client messages are framed, opened where they carry a statement, judged, and forwarded as the bytes they came in.
//! Bytes of the target are forwarded as they came; only headers are read, and the bodies of the few messages that
//! say how a statement ended.
//!
//! A refused statement is replaced by text that the target cannot parse. So the *target* fails the transaction or the
//! batch, exactly as it does for an error of its own, and its answer is replaced by Belay's. No transaction state is
//! modelled here: ReadyForQuery is trusted.

mod client;
mod names;
mod pending;
mod record;
mod scan;
mod server;
#[cfg(test)]
mod tests;

use crate::classify::Classifier;
use crate::wire::{Report, Severity, error_response, notice_response};
use belay_engine::{Connection, Housekeeping, Input, Output, ProtocolError, SessionContext, UpstreamBytes};
use belay_model::{Code, EndReason, Timestamp, TransactionStatus};
use bytes::{Bytes, BytesMut};
use client::Judged;
use names::Names;
use pending::Pending;
use record::Recorder;
use scan::Scan;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many forwarded messages may wait for their answers before the client is left waiting.
const PENDING_LIMIT: usize = 4096;

/// A logged-in connection.
pub struct Established {
    classifier: Arc<Classifier>,
    recorder: Recorder,
    /// Whether the target must keep saying that this connection is read-only.
    read_only: bool,
    inbox: BytesMut,
    out: VecDeque<Output>,
    pending: VecDeque<Pending>,
    names: Names,
    /// What the last ReadyForQuery said.
    status: TransactionStatus,
    /// A message that waits for its verdict.
    judged: Option<Judged>,
    /// The next client message has to wait for answers.
    held: bool,
    batch: Batch,
    scan: Scan,
    /// The beginning of a message of the target that has to be whole before it is passed on.
    partial: BytesMut,
    /// Records that follow the bytes they speak of.
    after_bytes: Vec<Output>,
    /// A notice that waits for the end of a message.
    warning: Option<Bytes>,
    over: bool,
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
    /// The connection after the target's first ReadyForQuery, which said `status`.
    pub fn new(classifier: Arc<Classifier>, context: &SessionContext, status: TransactionStatus) -> Established {
        Established {
            classifier,
            recorder: Recorder::new(context),
            read_only: !context.grant.effects.write,
            inbox: BytesMut::new(),
            out: VecDeque::new(),
            pending: VecDeque::new(),
            names: Names::default(),
            status,
            judged: None,
            held: false,
            batch: Batch::default(),
            scan: Scan::default(),
            partial: BytesMut::new(),
            after_bytes: Vec::new(),
            warning: None,
            over: false,
        }
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
        if self.over {
            return;
        }
        if self.scan.is_between_messages()
            && let Some(report) = last_word(reason)
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
        !self.over && !self.held && self.judged.is_none() && self.pending.len() < PENDING_LIMIT
    }

    fn in_transaction(&self) -> bool {
        self.status != TransactionStatus::Idle || self.pending.iter().any(Pending::may_open)
    }

    fn is_busy(&self) -> bool {
        !self.pending.is_empty()
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
