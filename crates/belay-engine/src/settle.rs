//! Writes: what an engine and the shell owe each other before a transaction ends.
//!
//! The engine takes the exact row changes of the open transaction and gives them to the [`Keeper`]; only what is kept
//! on disk may be committed. The engine knows SQL and no store, the keeper knows the store and no SQL.

use crate::BoxFuture;
use belay_change::{ChangeSet, Images, Script, Sink};
use belay_model::{ChangeId, Denial, PlanId};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::mpsc;

/// Something to be done while a connection holds its client: it may ask the target over the client's own connection.
pub trait Settlement: Send {
    /// Does it. Bounded in time by whoever made it.
    fn settle(self: Box<Self>, line: Line, keeper: Arc<dyn Keeper>) -> BoxFuture<'static, Settled>;
}

impl std::fmt::Debug for dyn Settlement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Settlement")
    }
}

/// How a settlement went, for the connection that asked for it.
#[derive(Debug)]
pub enum Settled {
    /// The transaction is committed; the client hears of it, with this notice if there is one.
    Committed(Option<Notice>),
    /// The transaction is rolled back, and this is why.
    RolledBack(Denial),
    /// The same, because of an error of the target's, which the client hears as it came: a message of its protocol.
    Failed(Bytes),
    /// What was to be done before a statement is done: it may be sent.
    Ready(Box<dyn std::any::Any + Send>),
    /// It was done in place of the statement, which is not sent; the client hears this command tag, and the notice.
    Instead(String, Option<Notice>),
    /// Nobody knows how the transaction ended, or the connection is of no more use.
    Lost(Denial),
}

/// What a client is told beside a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// In one line.
    pub message: String,
    /// More.
    pub detail: Option<String>,
    /// One command.
    pub hint: Option<String>,
}

/// The way to the client's own connection while it is held.
pub struct Line {
    /// SQL to be asked, one at a time.
    pub asks: mpsc::Sender<Bytes>,
    /// What comes back, as many pieces at a time as have come.
    pub answers: mpsc::Receiver<VecDeque<Answer>>,
    /// Set where it will work for long: from its next wait on, others are not to wait for it.
    pub long: Arc<AtomicBool>,
}

/// A piece of what a target answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// One row, as text.
    Row(Vec<Option<Bytes>>),
    /// An error.
    Failed {
        /// Its SQLSTATE.
        sqlstate: String,
        /// Its message.
        message: String,
        /// All of it as it came, a message of the target's protocol.
        whole: Bytes,
    },
    /// The end of the answer; `true` where a transaction is open and has not failed.
    Done(bool),
}

/// Keeps what writes change. Made for one session; all its calls may be slow.
pub trait Keeper: Send + Sync {
    /// A new place for images.
    fn open(&self) -> io::Result<Box<dyn Draft>>;

    /// Keeps a previewed change as a plan that waits for approval.
    fn plan(&self, draft: Box<dyn Draft>, change: ChangeSet, script: Script) -> BoxFuture<'_, Result<PlanId, NotKept>>;

    /// Makes a change durable, before its COMMIT leaves.
    fn keep(
        &self,
        draft: Box<dyn Draft>,
        change: ChangeSet,
        script: Script,
    ) -> BoxFuture<'_, Result<ChangeId, NotKept>>;

    /// The transaction of a kept change was committed, as its client may hear at once: that is written afterwards, and
    /// who asks for the change waits for it. Returns when there is room for that.
    fn committed(&self, change: ChangeId) -> BoxFuture<'_, ()>;

    /// The transaction of a kept change was committed, was not, or nobody knows yet.
    fn ended(&self, change: ChangeId, outcome: Outcome) -> BoxFuture<'_, Result<(), NotKept>>;
}

/// Images on their way to the disk. Dropping it throws them away.
pub trait Draft: Sink {
    /// The images so far, to be read again from their beginning, e.g. to be shown.
    fn images(&mut self) -> io::Result<Box<dyn Images>>;

    /// For the keeper that made it.
    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send>;
}

/// How a transaction of the target ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Committed.
    Committed,
    /// Rolled back.
    RolledBack,
    /// Not known yet.
    Unknown,
}

/// Why a change is not kept, and so may not be committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotKept(pub String);
