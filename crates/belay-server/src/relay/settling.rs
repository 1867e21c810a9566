//! A settlement under way. Short ones are carried on by the relay itself; one that has much to read goes on beside it.

use belay_engine::{Answer, BoxFuture, Input, Keeper, Line, Settled, Settlement};
use belay_model::{Code, Denial};
use bytes::Bytes;
use futures_util::FutureExt as _;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::PollSender;

/// How many times the settlement is handed pieces of an answer that it has not taken yet. Each time wakes it, which costs
/// more than to handle a row.
const HANDED: usize = 4;
/// How many pieces may wait here before nothing more is read.
const BACKLOG: usize = 256;

/// See the module.
pub(super) struct Settling {
    asks: mpsc::Receiver<Bytes>,
    answers: PollSender<VecDeque<Answer>>,
    backlog: VecDeque<Answer>,
    long: Arc<AtomicBool>,
    work: Work,
}

/// Where it is done.
enum Work {
    /// On the relay's own task: to wake another thread for each answer would cost more than what little there is to do.
    Here(BoxFuture<'static, Settled>),
    /// On a thread of its own.
    Beside(JoinHandle<Settled>),
    /// It is done, or being moved.
    Nowhere,
}

impl Settling {
    pub(super) fn begin(settlement: Box<dyn Settlement>, keeper: Arc<dyn Keeper>) -> Settling {
        let (ask, asks) = mpsc::channel(1);
        let (give, take) = mpsc::channel(HANDED);
        let long = Arc::new(AtomicBool::new(false));
        let line = Line { asks: ask, answers: take, long: Arc::clone(&long) };
        let work = AssertUnwindSafe(settlement.settle(line, keeper)).catch_unwind();
        let work = work.map(|settled| settled.unwrap_or_else(|_| Settled::Lost(broken())));
        let work = Work::Here(Box::pin(work));
        Settling { asks, answers: PollSender::new(give), backlog: VecDeque::new(), long, work }
    }

    pub(super) fn answer(&mut self, answer: Answer) {
        self.backlog.push_back(answer);
    }

    pub(super) fn is_full(&self) -> bool {
        self.backlog.len() >= BACKLOG
    }

    /// What the connection has to hear of it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        if !self.backlog.is_empty()
            && let Poll::Ready(reserved) = self.answers.poll_reserve(cx)
        {
            let backlog = std::mem::take(&mut self.backlog);
            // Otherwise it has gone without hearing it all.
            if reserved.is_ok() {
                let _ = self.answers.send_item(backlog);
            }
        }
        if let Poll::Ready(settled) = self.poll_work(cx) {
            return Poll::Ready(Input::Settled(settled));
        }
        match self.asks.poll_recv(cx) {
            Poll::Ready(Some(sql)) => Poll::Ready(Input::Ask(sql)),
            _ => Poll::Pending,
        }
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Settled> {
        match &mut self.work {
            Work::Here(work) => {
                let settled = work.as_mut().poll(cx);
                if settled.is_ready() {
                    self.work = Work::Nowhere;
                } else if self.long.load(Ordering::Relaxed) {
                    self.move_away();
                    return self.poll_work(cx);
                }
                settled
            }
            Work::Beside(task) => {
                Pin::new(task).poll(cx).map(|settled| settled.unwrap_or_else(|_| Settled::Lost(broken())))
            }
            Work::Nowhere => Poll::Ready(Settled::Lost(broken())),
        }
    }

    fn move_away(&mut self) {
        self.work = match std::mem::replace(&mut self.work, Work::Nowhere) {
            Work::Here(work) => {
                let runtime = Handle::current();
                Work::Beside(spawn_blocking(move || runtime.block_on(work)))
            }
            elsewhere => elsewhere,
        };
    }
}

impl Drop for Settling {
    /// What is under way hears that the session has ended, and writes what became of it.
    fn drop(&mut self) {
        if let (Work::Here(work), Ok(runtime)) =
            (std::mem::replace(&mut self.work, Work::Nowhere), Handle::try_current())
        {
            runtime.spawn(work);
        }
    }
}

fn broken() -> Denial {
    Denial {
        code: Code::NotKept,
        message: "ended: the change could not be captured".to_owned(),
        detail: "The gateway failed while it captured the rows. The transaction is rolled back.".to_owned(),
        hint: Code::NotKept.remedy().to_owned(),
    }
}
