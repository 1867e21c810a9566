//! A connection whose grant writes.
//!
//! It stands between [`Established`], which judges, and the target. Where the client opens no transaction for a write,
//! one is opened here; before a transaction ends it is *settled*: the engine's settlement takes its exact row changes
//! over this very connection, and the transaction is committed or rolled back by what comes of it. Until then neither
//! the client's COMMIT nor the target's word that all is done passes.
//!
//! Outside such transactions the target is read-only, so that what is taken for a read and is none fails there.

mod act;
mod line;
mod messages;
mod settlement;
mod transcript;

use super::Established;
use crate::wire::{
    Report, Severity, command_complete, command_in_batch, error_fields, error_response, notice_response, query,
    query_text, ready_for_query, refusal_text,
};
use act::{Act, mixed};
use belay_engine::{Answer, Connection, Housekeeping, Input, Notice, Output, ProtocolError, Settled, UpstreamBytes};
use belay_model::{Code, Denial, EndReason, Statement, Timestamp, TransactionStatus};
use belay_policy::Decision;
use bytes::{BufMut, Bytes, BytesMut};
use messages::{Message, Messages, row};
pub(crate) use settlement::Ways;
use settlement::{Before, End, Open};
use std::collections::VecDeque;
use std::sync::Arc;
use transcript::Transcript;

/// Opens a transaction that may write.
const BEGIN: &str = "BEGIN READ WRITE";
/// Makes the client's own transaction one that may write.
const MAY_WRITE: &str = "SET TRANSACTION READ WRITE";
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
    doing: Doing,
    transaction: Transaction,
    transcript: Transcript,
    /// What was taken of the transaction already.
    open: Option<Box<Open>>,
    /// The client's batch has begun and has not come to its Sync.
    in_batch: bool,
    /// The end of a statement's answer, kept back until its transaction is settled.
    complete: Option<Bytes>,
}

/// A message for the target.
struct Held {
    bytes: UpstreamBytes,
    statements: Option<Arc<[Statement]>>,
    /// What has to be done before it is done.
    prepared: bool,
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
    /// The client's.
    Client { baseline: Vec<Vec<Option<Bytes>>> },
}

/// What is being done while the client waits.
enum Doing {
    Nothing,
    /// The answers that are due are waited for.
    Draining(Next),
    /// Commands of our own have been sent, so many of which are not answered.
    Opening {
        left: u8,
        rows: Vec<Vec<Option<Bytes>>>,
        /// Whose transaction it will be.
        own: bool,
        /// The target's word that is kept back meanwhile.
        ready: Option<Bytes>,
    },
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
            doing: Doing::Nothing,
            transaction: Transaction::None,
            transcript: Transcript::default(),
            open: None,
            in_batch: false,
            complete: None,
        }
    }

    /// Carries out what the judging side wants, as far as that is for here.
    fn pump(&mut self, now: Timestamp) -> Result<(), ProtocolError> {
        while let Some(output) = self.inner.poll() {
            match output {
                Output::Decide(statements) => match mixed(&statements, self.is_open()) {
                    Some(denial) => self.inner.handle(Input::Decided(Decision::Deny(denial)), now)?,
                    None => {
                        self.judged = Some(Arc::clone(&statements));
                        self.out.push_back(Output::Decide(statements));
                    }
                },
                Output::ToUpstream(bytes) => {
                    let carries = matches!(bytes.as_bytes().first(), Some(b'Q' | b'P' | b'B' | b'E'));
                    let statements = if carries { self.permitted.take() } else { None };
                    self.dispatch(Held { bytes, statements, prepared: false });
                }
                other => self.out.push_back(other),
            }
        }
        Ok(())
    }

    fn is_open(&self) -> bool {
        !matches!(self.transaction, Transaction::None)
    }

    /// Sends a message, or holds it until what has to come before it is done.
    fn dispatch(&mut self, held: Held) {
        let sealed = matches!(self.transaction, Transaction::Own { sealed: true, .. });
        if sealed || !matches!(self.doing, Doing::Nothing) {
            self.queue.push_back(held);
            return;
        }
        match self.next(&held) {
            Some(next) if next == Next::Join => {
                self.send(held);
                self.own(Bytes::from_static(b"H\0\0\0\x04"));
                self.doing = Doing::Draining(next);
            }
            Some(next) => {
                // What is due may be held back until a Sync.
                if self.in_batch {
                    self.own(Bytes::from_static(b"H\0\0\0\x04"));
                }
                self.queue.push_front(held);
                self.doing = Doing::Draining(next);
                self.drained();
            }
            None => self.send(held),
        }
    }

    /// What has to come before this message, or right behind it.
    fn next(&self, held: &Held) -> Option<Next> {
        let tag = held.bytes.as_bytes().first().copied()?;
        let act = Act::of(held.statements.as_deref()?);
        let runs = matches!(tag, b'Q' | b'E');
        match &self.transaction {
            Transaction::None if act.writes && self.inner.is_outside_transaction() && !self.in_batch => {
                Some(Next::Open)
            }
            Transaction::None if act.begins && tag == b'E' => Some(Next::Join),
            // The end of one that has failed is a ROLLBACK, whatever the client calls it.
            Transaction::Client { .. } if act.commits && runs && !self.inner.has_failed() => Some(Next::Commit),
            Transaction::Own { .. } | Transaction::Client { .. } if act.prepares && runs && !held.prepared => {
                Some(Next::Prepare)
            }
            _ => None,
        }
    }

    fn send(&mut self, held: Held) {
        let tag = held.bytes.as_bytes().first().copied().unwrap_or_default();
        match tag {
            b'P' | b'B' | b'E' | b'D' | b'C' => self.in_batch = true,
            b'S' => self.in_batch = false,
            _ => {}
        }
        if let Transaction::Own { sealed, .. } = &mut self.transaction {
            *sealed |= matches!(tag, b'Q' | b'S');
        }
        match &held.statements {
            Some(statements) => self.transcript.sent(held.bytes.as_bytes(), statements),
            None if tag == b'd' => self.transcript.data(held.bytes.as_bytes().get(5..).unwrap_or_default()),
            None => {}
        }
        self.out.push_back(Output::ToUpstream(held.bytes));
    }

    fn own(&mut self, bytes: Bytes) {
        self.out.push_back(Output::ToUpstream(UpstreamBytes::housekeeping(Housekeeping::Own, bytes)));
    }

    /// Sends what was held, up to what has to wait again.
    fn release(&mut self) {
        let queue = std::mem::take(&mut self.queue);
        for held in queue {
            self.dispatch(held);
        }
        self.drained();
    }

    /// Goes on once everything that was sent is answered.
    fn drained(&mut self) {
        let Doing::Draining(next) = self.doing else { return };
        // The head of the queue and what follows it are counted as due already.
        let answered = |held: &&Held| !matches!(held.bytes.as_bytes().first(), Some(b'H' | b'd' | b'c' | b'f'));
        let held = self.queue.iter().filter(answered).count();
        if self.inner.due() > held {
            return;
        }
        match next {
            Next::Open => self.open(true, None),
            Next::Join => self.open(false, None),
            Next::Commit => self.settle(Settlings::Commit),
            Next::Prepare => self.settle(Settlings::Prepare),
        }
    }

    /// Opens a transaction, or makes the client's one that may write, and takes what it starts with.
    fn open(&mut self, own: bool, ready: Option<Bytes>) {
        let mut bytes = BytesMut::new();
        bytes.put(command_in_batch(if own { BEGIN } else { MAY_WRITE }));
        bytes.put(command_in_batch(crate::capture::OPENING));
        bytes.put_slice(b"H\0\0\0\x04");
        self.own(bytes.freeze());
        // Each of the two ends with two.
        self.doing = Doing::Opening { left: 4, rows: Vec::new(), own, ready };
    }

    fn settle(&mut self, what: Settlings) {
        let baseline = match &self.transaction {
            Transaction::Own { baseline, .. } | Transaction::Client { baseline } => baseline.clone(),
            Transaction::None => Vec::new(),
        };
        let ways = Arc::clone(&self.ways);
        let settlement: Box<dyn belay_engine::Settlement> = match what {
            Settlings::Own | Settlings::Commit => {
                Box::new(End { ways, baseline, open: self.open.take(), ran: self.transcript.take() })
            }
            Settlings::Prepare => {
                let held = self.queue.front();
                let text = held.and_then(|held| text_of(held.bytes.as_bytes())).unwrap_or_default();
                Box::new(Before { ways, baseline, open: self.open.take(), text })
            }
        };
        self.doing = Doing::Settling { asking: false, what };
        self.out.push_back(Output::Settle(settlement));
    }

    /// Gives the judging side a message as if the target had sent it.
    fn feed(&mut self, bytes: Bytes, now: Timestamp) -> Result<(), ProtocolError> {
        self.inner.handle(Input::Upstream(bytes), now)?;
        self.pump(now)
    }

    fn handle_message(&mut self, message: Message, now: Timestamp) -> Result<(), ProtocolError> {
        match &mut self.doing {
            Doing::Opening { .. } => self.handle_opening(message, now),
            Doing::RollingBack(_) => self.handle_rolled_back(&message, now),
            Doing::Settling { asking: true, .. } => self.handle_answer(&message),
            Doing::Nothing | Doing::Draining(_) | Doing::Settling { asking: false, .. } => {
                self.handle_own(message, now)
            }
        }
    }

    /// A message that is for the client, or would be.
    fn handle_own(&mut self, message: Message, now: Timestamp) -> Result<(), ProtocolError> {
        if message.tag == b'Z' {
            return self.handle_ready(message, now);
        }
        if let Some(complete) = self.complete.take() {
            self.feed(complete, now)?;
        }
        match message.tag {
            // A batch's statements are told as they end; what a simple query did is told with the end of its transaction.
            b'C' | b'I' if matches!(self.transaction, Transaction::Own { .. }) && !self.inner.is_in_batch() => {
                self.complete = Some(message.bytes);
                return Ok(());
            }
            b'C' | b'I' => self.transcript.succeeded(),
            b'E' => {
                self.transcript.failed();
                self.feed(message.bytes, now)?;
                if matches!(self.doing, Doing::Draining(next) if next != Next::Open) {
                    // The target skips the rest of the batch.
                    self.doing = Doing::Nothing;
                    for held in std::mem::take(&mut self.queue) {
                        self.send(held);
                    }
                }
                return Ok(());
            }
            _ => {}
        }
        self.feed(message.bytes, now)?;
        self.drained();
        Ok(())
    }

    fn handle_ready(&mut self, message: Message, now: Timestamp) -> Result<(), ProtocolError> {
        let status = message.body().first().copied();
        match (&self.transaction, status) {
            (Transaction::Own { .. }, Some(b'E')) => {
                self.roll_back(vec![idle()]);
                return Ok(());
            }
            // It was prepared and not run.
            (Transaction::Own { .. }, Some(b'T')) if self.transcript.is_empty() => {
                self.roll_back(vec![idle()]);
                return Ok(());
            }
            (Transaction::Own { .. }, Some(b'T')) => {
                self.settle(Settlings::Own);
                return Ok(());
            }
            (Transaction::None, Some(b'T')) => {
                self.open(false, Some(message.bytes));
                return Ok(());
            }
            (_, Some(b'I')) => self.forget(),
            (Transaction::Client { .. }, Some(b'T')) => self.transcript.succeeded(),
            _ => {}
        }
        if let Some(complete) = self.complete.take() {
            self.feed(complete, now)?;
        }
        self.feed(message.bytes, now)?;
        self.drained();
        Ok(())
    }

    fn handle_opening(&mut self, message: Message, now: Timestamp) -> Result<(), ProtocolError> {
        let Doing::Opening { left, rows, own, ready } = &mut self.doing else { return Ok(()) };
        match message.tag {
            b'D' => rows.push(row(message.body())?),
            b'3' => *left = left.saturating_sub(1),
            b'E' => {
                let said = error_fields(message.body());
                let why = format!("a transaction that may write could not be opened: {}", said.message);
                return Err(ProtocolError(why));
            }
            b'S' => return self.feed(message.bytes, now),
            _ => {}
        }
        if *left == 0 {
            let (baseline, own, ready) = (std::mem::take(rows), *own, ready.take());
            self.transaction =
                if own { Transaction::Own { baseline, sealed: false } } else { Transaction::Client { baseline } };
            self.doing = Doing::Nothing;
            if let Some(ready) = ready {
                self.feed(ready, now)?;
            }
            self.release();
        }
        Ok(())
    }

    /// Nothing of the transaction is left.
    fn forget(&mut self) {
        self.transaction = Transaction::None;
        self.transcript.take();
        self.open = None;
    }

    /// Rolls back what was opened here.
    fn roll_back(&mut self, afterwards: Vec<Bytes>) {
        self.forget();
        self.complete = None;
        self.doing = Doing::RollingBack(afterwards);
        self.own(query("ROLLBACK"));
    }

    fn handle_rolled_back(&mut self, message: &Message, now: Timestamp) -> Result<(), ProtocolError> {
        match message.tag {
            b'Z' => {}
            b'S' => return self.feed(message.bytes.clone(), now),
            _ => return Ok(()),
        }
        let Doing::RollingBack(afterwards) = std::mem::replace(&mut self.doing, Doing::Nothing) else { return Ok(()) };
        for bytes in afterwards {
            self.feed(bytes, now)?;
        }
        self.release();
        Ok(())
    }

    /// A piece of what the settlement asked for.
    fn handle_answer(&mut self, message: &Message) -> Result<(), ProtocolError> {
        let answer = match message.tag {
            b'D' => Answer::Row(row(message.body())?),
            b'E' => {
                let said = error_fields(message.body());
                Answer::Failed(said.sqlstate, said.message)
            }
            b'Z' => {
                if let Doing::Settling { asking, .. } = &mut self.doing {
                    *asking = false;
                }
                Answer::Done(message.body() == b"T")
            }
            _ => return Ok(()),
        };
        self.out.push_back(Output::Answer(answer));
        Ok(())
    }

    fn handle_settled(&mut self, settled: Settled, now: Timestamp) -> Result<(), ProtocolError> {
        let Doing::Settling { what, .. } = std::mem::replace(&mut self.doing, Doing::Nothing) else { return Ok(()) };
        match settled {
            Settled::Lost(denial) => {
                self.out.push_back(Output::ToClient(error_response(&told(Severity::Fatal, &denial))));
                self.out.push_back(Output::Close(EndReason::TargetLost));
                return Ok(());
            }
            Settled::Ready(done) => {
                self.open = done.downcast().ok();
                if let Some(head) = self.queue.front_mut() {
                    head.prepared = true;
                }
            }
            Settled::Instead(tag, notice) => {
                self.tell(notice);
                let head = self.queue.pop_front();
                let simple = head.is_some_and(|head| head.bytes.as_bytes().first() == Some(&b'Q'));
                self.feed(command_complete(&tag), now)?;
                if simple {
                    return self.after_simple(now);
                }
            }
            Settled::Committed(notice) => {
                self.forget();
                self.tell(notice);
                self.committed(what, now)?;
            }
            Settled::RolledBack(denial) if what == Settlings::Prepare => {
                self.spoil(&denial);
                return Ok(());
            }
            Settled::RolledBack(denial) => {
                self.forget();
                self.refused(what, &denial, now)?;
            }
        }
        self.release();
        Ok(())
    }

    /// What stood in for a simple query is done; its transaction goes on or, where it was opened here, ends.
    fn after_simple(&mut self, now: Timestamp) -> Result<(), ProtocolError> {
        if matches!(self.transaction, Transaction::Own { .. }) {
            self.roll_back(vec![idle()]);
            return Ok(());
        }
        self.feed(ready_for_query(TransactionStatus::Open), now)?;
        self.release();
        Ok(())
    }

    fn committed(&mut self, what: Settlings, now: Timestamp) -> Result<(), ProtocolError> {
        match what {
            Settlings::Own => {
                if let Some(complete) = self.complete.take() {
                    self.feed(complete, now)?;
                }
                self.feed(idle(), now)
            }
            Settlings::Commit | Settlings::Prepare => {
                let head = self.queue.pop_front();
                self.feed(command_complete("COMMIT"), now)?;
                if head.is_some_and(|head| head.bytes.as_bytes().first() == Some(&b'Q')) {
                    self.feed(idle(), now)?;
                }
                Ok(())
            }
        }
    }

    fn refused(&mut self, what: Settlings, denial: &Denial, now: Timestamp) -> Result<(), ProtocolError> {
        self.complete = None;
        if what == Settlings::Own {
            self.feed(error_response(&told(Severity::Error, denial)), now)?;
            return self.feed(idle(), now);
        }
        let (error, simple) = self.skipped(denial);
        self.feed(error, now)?;
        if simple { self.feed(idle(), now) } else { Ok(()) }
    }

    /// The error for the statement at the head of the queue, and whether that is a simple query. As the target does
    /// after an error, what is left of its batch is skipped.
    fn skipped(&mut self, denial: &Denial) -> (Bytes, bool) {
        let simple = self.queue.pop_front().is_some_and(|head| head.bytes.as_bytes().first() == Some(&b'Q'));
        while !simple && self.queue.front().is_some_and(|held| held.bytes.as_bytes().first() != Some(&b'S')) {
            self.queue.pop_front();
        }
        (error_response(&told(Severity::Error, denial)), simple)
    }

    /// What should have been done before a statement failed: the statement fails, and its transaction with it.
    fn spoil(&mut self, denial: &Denial) {
        if matches!(self.transaction, Transaction::Own { .. }) {
            // The client hears of it once the transaction is gone.
            let (error, simple) = self.skipped(denial);
            self.roll_back(if simple { vec![error, idle()] } else { vec![error] });
            return;
        }
        let (error, simple) = self.skipped(denial);
        let failed = ready_for_query(TransactionStatus::Failed);
        self.doing = Doing::RollingBack(if simple { vec![error, failed] } else { vec![error] });
        self.own(query(&refusal_text(denial.code)));
    }

    fn tell(&mut self, notice: Option<Notice>) {
        if let Some(Notice { message, detail, hint }) = notice {
            let report = Report { severity: Severity::Notice, code: Code::Changed, message, detail, hint };
            self.out.push_back(Output::ToClient(notice_response(&report)));
        }
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
                    self.own(query(&sql));
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

/// The text of a simple query.
fn text_of(frame: &[u8]) -> Option<String> {
    String::from_utf8(query_text(frame).ok()?.to_vec()).ok()
}
