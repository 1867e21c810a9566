//! A logged-in connection as a pure state machine.

use crate::{Answer, Settled, Settlement, UpstreamBytes};
use belay_model::{EndReason, Event, Statement, Timestamp};
use belay_policy::Decision;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// What happens to a connection.
#[derive(Debug)]
pub enum Input {
    /// Bytes came from the client.
    Client(Bytes),
    /// Bytes came from the target.
    Upstream(Bytes),
    /// The answer to the last [`Output::Decide`].
    Decided(Decision),
    /// The grant ends in so many seconds: the client is to be told when it can hear it.
    Expiring(u64),
    /// The time of [`Connection::wake_at`] has come.
    Time,
    /// The answer to [`Output::Cancel`]: whether the target has carried it out. Whatever it was still working on has
    /// been signalled, so what is sent from here on is not hit.
    Cancelled(bool),
    /// The answer to [`Output::Look`]: how long the back end has been waiting for a lock, if it is.
    Waiting(Option<Duration>),
    /// A settlement asks the target this.
    Ask(Bytes),
    /// The answer to the last [`Output::Settle`].
    Settled(Settled),
    /// The connection must end now.
    End(EndReason),
}

/// What a connection wants done. Outputs are carried out in the order they are polled.
#[derive(Debug)]
pub enum Output {
    /// Write to the client.
    ToClient(Bytes),
    /// Write to the target.
    ToUpstream(UpstreamBytes),
    /// Judge these statements and answer with [`Input::Decided`] before anything else.
    Decide(Arc<[Statement]>),
    /// Put this into the ledger; durable before the next output if `durable`.
    Record {
        /// The event.
        event: Box<Event>,
        /// Whether what follows must wait for the disk.
        durable: bool,
    },
    /// Cancel what the back end is working on, and answer with [`Input::Cancelled`].
    Cancel,
    /// See whether the back end waits for a lock, and answer with [`Input::Waiting`].
    Look,
    /// Do this, ask what it asks with [`Input::Ask`], and answer with [`Input::Settled`]. Nothing is taken from the
    /// client before that.
    Settle(Box<dyn Settlement>),
    /// A piece of the answer to the last [`Input::Ask`].
    Answer(Answer),
    /// Close both sides.
    Close(EndReason),
}

/// The client or the target broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProtocolError(pub String);

/// One logged-in connection.
pub trait Connection: Send {
    /// Takes one input. After an error the connection takes [`Input::End`] only.
    fn handle(&mut self, input: Input, now: Timestamp) -> Result<(), ProtocolError>;

    /// The next output, if any.
    fn poll(&mut self) -> Option<Output>;

    /// Whether bytes from the client can be taken now. While false, the relay does not read the client.
    fn wants_client(&self) -> bool;

    /// Whether the target has an open transaction, or may have by a statement that it has not answered.
    fn in_transaction(&self) -> bool;

    /// Whether the target owes an answer, so that its back end must be cancelled if the client is lost.
    fn is_busy(&self) -> bool;

    /// When it wants to be given [`Input::Time`], if at all.
    fn wake_at(&self) -> Option<Timestamp> {
        None
    }

    /// How many statements run if what waits for its verdict is permitted; none where they are only prepared.
    fn about_to_run(&self) -> u32 {
        0
    }
}
