//! A connection under a grant of everything: the bytes of both sides pass as they came.
//!
//! Nothing is refused, replaced, put off or masked here. Messages of the client are framed to record what they run, and
//! wait for nothing but that record; messages of the target are walked past to see how statements end. What a text does
//! decides only whether its record must be on disk before it leaves; where that is in doubt, it must.

mod client;
mod pieces;
mod server;
mod syntax;
#[cfg(test)]
mod tests;
mod walk;

use super::names::Names;
use super::pending::Pending;
use super::record::Recorder;
use super::{PENDING_LIMIT, expiring, last_word};
use crate::classify::Classifier;
use crate::wire::error_response;
use belay_engine::{Connection, Housekeeping, Input, Output, ProtocolError, SessionContext, UpstreamBytes};
use belay_model::{EndReason, Timestamp, TransactionStatus};
use bytes::{Bytes, BytesMut};
use client::Run;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use syntax::Syntax;
use walk::Walk;

/// How many bytes of texts may wait for their answers before the client is left waiting.
const WEIGHT_LIMIT: usize = 64 * 1024 * 1024;

/// A logged-in connection of a grant of everything.
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own about the wire")]
pub(crate) struct Passthrough {
    classifier: Arc<Classifier>,
    recorder: Recorder,
    inbox: BytesMut,
    /// Bytes of a message whose beginning has left already.
    passing: usize,
    /// What waits for its verdict, and then for its records.
    run: Option<Run>,
    out: VecDeque<Output>,
    pending: VecDeque<Pending>,
    /// Bytes of the texts in `pending`, and of those answered since it was last empty.
    weight: usize,
    names: Names,
    /// Portals of this batch whose statement was recorded when it was bound and not executed yet, and its number.
    bound: HashMap<Box<[u8]>, u64>,
    status: TransactionStatus,
    syntax: Syntax,
    walk: Walk,
    /// The next message needs an answer that is due.
    held: bool,
    /// The target was asked for the answers it holds back, and nothing was taken from the client since.
    nudged: bool,
    /// The target takes COPY data, and until its end ignores what would end a batch.
    copying: bool,
    /// A notice that waits for the end of a message.
    warning: Option<Bytes>,
    /// The target has said its last word.
    told: bool,
    /// The client has said goodbye: the target finishes by itself.
    gone: bool,
    over: bool,
}

impl Passthrough {
    /// The connection after the target's first ReadyForQuery; `parameters` is what it said of itself before.
    pub(crate) fn new(
        classifier: Arc<Classifier>,
        context: &SessionContext,
        parameters: &[(String, String)],
    ) -> Passthrough {
        let mut connection = Passthrough {
            classifier,
            recorder: Recorder::new(context),
            inbox: BytesMut::new(),
            passing: 0,
            run: None,
            out: VecDeque::new(),
            pending: VecDeque::new(),
            weight: 0,
            names: Names::default(),
            bound: HashMap::new(),
            status: TransactionStatus::Idle,
            syntax: Syntax::of(parameters),
            walk: Walk::default(),
            held: false,
            nudged: false,
            copying: false,
            warning: None,
            told: false,
            gone: false,
            over: false,
        };
        // Whoever calls has looked already; a grant that is judged must never come to be here.
        if !context.grant.effects.all {
            connection.end(EndReason::Crashed);
        }
        connection
    }

    fn is_crowded(&self) -> bool {
        self.pending.len() >= PENDING_LIMIT || self.weight >= WEIGHT_LIMIT
    }

    /// Asks the target for the answers it holds back until a Sync that may never come. The only message that is added
    /// to the client's.
    fn nudge(&mut self) {
        let unsynced = self.pending.back().is_some_and(|due| !due.ends_with_ready());
        if unsynced && !self.nudged && self.passing == 0 {
            self.nudged = true;
            let flush = UpstreamBytes::housekeeping(Housekeeping::Boundary, Bytes::from_static(b"H\0\0\0\x04"));
            self.out.push_back(Output::ToUpstream(flush));
        }
    }

    /// Tells the client what waits to be told, if it is between messages.
    fn warn(&mut self) {
        if self.walk.is_between_messages()
            && let Some(warning) = self.warning.take()
        {
            self.out.push_back(Output::ToClient(warning));
        }
    }

    /// Says a last word, where the target has not, and closes. A target that is gone speaks for itself.
    fn end(&mut self, reason: EndReason) {
        if self.over {
            return;
        }
        self.over = true;
        let silent = self.told || reason == EndReason::TargetLost || !self.walk.is_between_messages();
        if let Some(report) = last_word(reason)
            && !silent
        {
            self.out.push_back(Output::ToClient(error_response(&report)));
        }
        self.out.push_back(Output::Close(reason));
    }
}

impl Connection for Passthrough {
    fn handle(&mut self, input: Input, now: Timestamp) -> Result<(), ProtocolError> {
        if self.over {
            return Ok(());
        }
        match input {
            Input::Client(bytes) => {
                self.inbox.extend_from_slice(&bytes);
                self.handle_inbox(now)
            }
            Input::Upstream(bytes) => {
                self.handle_upstream(bytes, now)?;
                self.handle_inbox(now)
            }
            Input::Decided(decision) => {
                self.handle_decided(decision);
                self.handle_inbox(now)
            }
            Input::Expiring(seconds) => {
                self.warning = Some(expiring(seconds));
                self.warn();
                Ok(())
            }
            // A grant of everything has no budgets here.
            Input::Time | Input::Cancelled(_) | Input::Waiting(_) | Input::Ask(_) | Input::Settled(_) => Ok(()),
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
        !self.over && !self.gone && !self.held && self.run.is_none() && !self.is_crowded()
    }

    fn in_transaction(&self) -> bool {
        !self.gone && (self.status != TransactionStatus::Idle || self.pending.iter().any(Pending::may_open))
    }

    fn is_busy(&self) -> bool {
        !self.gone && !self.pending.is_empty()
    }
}
