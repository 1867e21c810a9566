//! A settlement under way, beside the relay: it may wait for disks and other connections, the relay may not.

use belay_engine::{Answer, Input, Keeper, Line, Settled, Settlement};
use belay_model::{Code, Denial};
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
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
    task: JoinHandle<Settled>,
}

impl Settling {
    pub(super) fn begin(settlement: Box<dyn Settlement>, keeper: Arc<dyn Keeper>) -> Settling {
        let (ask, asks) = mpsc::channel(1);
        let (give, take) = mpsc::channel(HANDED);
        let line = Line { asks: ask, answers: take };
        let runtime = Handle::current();
        let task = spawn_blocking(move || runtime.block_on(settlement.settle(line, keeper)));
        Settling { asks, answers: PollSender::new(give), backlog: VecDeque::new(), task }
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
        if let Poll::Ready(Some(sql)) = self.asks.poll_recv(cx) {
            return Poll::Ready(Input::Ask(sql));
        }
        Pin::new(&mut self.task)
            .poll(cx)
            .map(|settled| Input::Settled(settled.unwrap_or_else(|_| Settled::Lost(broken()))))
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
