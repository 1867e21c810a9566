//! The client's own connection, as something that can be asked.

use crate::capture::{self, Ask, CLOSE, CaptureError, EachRow};
use crate::change::{denied, settled};
use crate::passing::is_passing;
use belay_engine::{Answer, BoxFuture, Line, Settled};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::timeout;

/// How long a piece of an answer may take. The target's own limits are shorter.
const PATIENCE: Duration = Duration::from_mins(2);

/// What lets deferred constraints fire: by what they say the client's transaction fails.
const FIRE: &str = "SET CONSTRAINTS ALL IMMEDIATE";
/// So does the client's own COMMIT, with which this ends.
const COMMIT: &str = "; COMMIT";

/// See the module.
pub(super) struct Writer {
    line: Line,
    /// Pieces of an answer that have come and were not looked at yet.
    came: VecDeque<Answer>,
    /// The client's statement, where it is tried here.
    text: Option<String>,
    /// The last error, where the client would have met it without Belay, too.
    failed: Option<Bytes>,
}

impl Writer {
    pub(super) fn new(line: Line, text: Option<String>) -> Writer {
        Writer { line, came: VecDeque::new(), text, failed: None }
    }

    /// What the client hears of an error: the target's own words where they are for it, else what `error` means.
    pub(super) fn settled(&mut self, error: &CaptureError) -> Settled {
        match (error, self.failed.take()) {
            (CaptureError::Target { .. }, Some(whole)) => Settled::Failed(whole),
            _ => settled(error),
        }
    }

    /// Ends what a capture began, and commits; `savepoints` are the client's that are open.
    pub(super) async fn commit(&mut self, savepoints: &[String]) -> Result<(), CaptureError> {
        let committed = self.ask(&format!("{CLOSE}; {}", capture::commit(savepoints))).await;
        let committed = committed.map_err(capture::late);
        if matches!(committed, Err(CaptureError::Irreversible { .. })) {
            self.failed = None;
        }
        committed.map(|_| ())
    }

    /// Rolls back because of it.
    pub(super) async fn give_up(&mut self, error: &CaptureError) -> Settled {
        let settled = self.settled(error);
        self.roll_back(settled).await
    }

    /// Rolls back, which has to work for that.
    pub(super) async fn roll_back(&mut self, settled: Settled) -> Settled {
        match (self.ask("ROLLBACK").await, settled) {
            (Err(_), Settled::RolledBack(denial)) => Settled::Lost(denial),
            (Err(error), _) => Settled::Lost(denied(&error)),
            (Ok(_), settled) => settled,
        }
    }

    async fn answer(&mut self, theirs: bool, each: EachRow<'_>) -> Result<(), CaptureError> {
        let mut outcome = Ok(());
        loop {
            match self.next().await? {
                Answer::Row(values) if outcome.is_ok() => {
                    outcome = row(&values).and_then(&mut *each);
                }
                Answer::Row(_) => {}
                Answer::Failed { sqlstate, message, whole } => {
                    self.failed = (theirs || is_passing(&sqlstate)).then_some(whole);
                    outcome = Err(CaptureError::Target { sqlstate, message });
                }
                Answer::Done(_) => return outcome,
            }
        }
    }

    async fn next(&mut self) -> Result<Answer, CaptureError> {
        loop {
            if let Some(answer) = self.came.pop_front() {
                return Ok(answer);
            }
            let came = timeout(PATIENCE, self.line.answers.recv()).await;
            let came = came.map_err(|_| CaptureError::Lost("no answer in time".to_owned()))?;
            self.came = came.ok_or_else(|| CaptureError::Lost("the session has ended".to_owned()))?;
        }
    }
}

impl Ask for Writer {
    fn each<'a>(&'a mut self, sql: &'a str, each: EachRow<'a>) -> BoxFuture<'a, Result<(), CaptureError>> {
        Box::pin(async move {
            let sent = self.line.asks.send(Bytes::copy_from_slice(sql.as_bytes())).await;
            sent.map_err(|_| CaptureError::Lost("the session has ended".to_owned()))?;
            let theirs = sql.starts_with(FIRE) || sql.ends_with(COMMIT) || self.text.as_deref() == Some(sql);
            self.answer(theirs, each).await
        })
    }

    fn much(&mut self) {
        self.line.long.store(true, Ordering::Relaxed);
    }
}

pub(super) fn row(values: &[Option<Bytes>]) -> Result<Vec<Option<String>>, CaptureError> {
    let text = |value: &Bytes| String::from_utf8(value.to_vec());
    let values = values.iter().map(|value| value.as_ref().map(text).transpose());
    values.collect::<Result<_, _>>().map_err(|_| CaptureError::Unexpected("text that is not UTF-8"))
}
